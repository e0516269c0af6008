"""The guard of one `up`: who may come in, the process before the database, and where it is.

Only the guard and the services hold credentials of the database. The services
have an account of their own, which may read and write their one database and
no more; people come in through the guard, each with a login.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blackstart.cli.up_server import POLL_S, START_TIMEOUT_S, RoleLog, Server, print_log_end

if TYPE_CHECKING:
    from blackstart.process import ChildProcess

NAME = "guard"
OPERATOR, REVIEWER = "operator", "reviewer"
SERVICES = "services"
PASSWORDS_FILE = "passwords.json"
GRACE_S = 10.0
_LISTENS = "guard listening on mongodb://"
_PAGE = "its web page is at "


@dataclass
class UpGuard:
    """A guard that runs, and the passwords of the logins that were made for its people."""

    server: Server
    passwords: Mapping[str, str]
    database: str
    page: str = ""

    def uri(self, login: str) -> str:
        """Where a login that was made here comes in, with its password."""
        known = f"{login}:{self.passwords[login]}@{self.server.url}"
        return f"mongodb://{known}/{self.database}?authSource=admin&retryWrites=false"

    def has(self, login: str) -> bool:
        """Whether its password is known here: somebody may have removed it."""
        return login in self.passwords

    async def until_ready(self) -> None:
        """Wait for the lines with its addresses. Raises: ProcessError."""
        from blackstart.errors import ProcessError

        for _ in range(int(START_TIMEOUT_S / POLL_S)):
            self.server.raise_if_ended(starting=True)
            for line in self.server.log.lines():
                if line.startswith(_LISTENS):
                    self.server.url = line.removeprefix(_LISTENS).strip().rstrip("/")
                elif line.startswith(_PAGE):
                    self.page = line.removeprefix(_PAGE).strip()
            if self.server.url and self.page:
                return
            await asyncio.sleep(POLL_S)
        print_log_end(NAME, self.server.log.lines())
        raise ProcessError(f"the guard did not answer within {START_TIMEOUT_S:.0f} seconds")


def launch(
    folder: Path, uri: str, database: str, environment: Mapping[str, str], remove: list[Path]
) -> UpGuard:
    """Start a guard that holds the database's own credentials; they are in `uri`.

    Raises: ProcessError; StorageError when its folder cannot be used.
    """
    from blackstart.process import ChildProcess

    place = folder / NAME
    passwords = make_logins(place)
    log = RoleLog(folder / "logs" / f"{NAME}.log")
    child: ChildProcess = ChildProcess.start(
        "the guard",
        [sys.executable, "-P", "-m", "blackstart.cli", "guard", "--listen", "127.0.0.1:0"],
        log=log.path,
        env={
            **environment,
            "BLACKSTART_MONGODB_URI": uri,
            "BLACKSTART_GUARD_DATA": str(place),
            "BLACKSTART_GUARD_HTTP": "127.0.0.1:0",
        },
        remove=remove,
        grace_s=GRACE_S,
    )
    return UpGuard(Server(NAME, child, log), passwords, database)


def make_logins(place: Path) -> dict[str, str]:
    """See that there are an operator and a reviewer; their passwords, as far as known here.

    One that was made once, and that somebody removed since, is not made again.
    Raises: StorageError.
    """
    from secrets import token_urlsafe

    from blackstart.durable import replace_file
    from blackstart.guard.guardroom import Places
    from blackstart.guard.logins import Logins, Role
    from blackstart.store.backend import storage_errors

    with storage_errors("the guard's passwords cannot be kept"):
        Places(place).make()
        logins, keep = Logins(Places(place).logins), place / PASSWORDS_FILE
        known: dict[str, str] = json.loads(keep.read_bytes()) if keep.exists() else {}
        roles = {OPERATOR: [], REVIEWER: [Role.REVIEWER]}
        new = [name for name in roles if name not in known and logins.find(name) is None]
        if new:
            known |= {name: token_urlsafe(18) for name in new}
            replace_file(keep, json.dumps(known).encode())
            for name in new:
                logins.add(name, known[name], roles=roles[name])
    return {name: known[name] for name in known if logins.find(name) is not None}


async def uri_of_services(uri: str, database: str) -> str:
    """The database's URI with the services' own account, which gets a new password.

    Raises: DatabaseError.
    """
    from secrets import token_urlsafe
    from typing import Any

    from pymongo import AsyncMongoClient
    from pymongo.errors import PyMongoError

    from blackstart.errors import DatabaseError
    from blackstart.store.embedded import make_user

    password = token_urlsafe(24)
    try:
        async with AsyncMongoClient[dict[str, Any]](uri) as client:
            roles = [{"role": "readWrite", "db": database}]
            await make_user(client, SERVICES, password, roles)
    except PyMongoError as error:
        raise DatabaseError(f"the services have no account of their own: {error}") from error
    return f"mongodb://{SERVICES}:{password}@{uri.rpartition('@')[2]}"
