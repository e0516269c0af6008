"""The processes of one `up`: database and roles, each told where the others are."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from blackstart.cli.serve import Role
from blackstart.cli.up_folder import EARLIER_RUN_TIMEOUT_S, POLL_S
from blackstart.cli.up_guard import UpGuard, launch, uri_of_services
from blackstart.cli.up_server import RoleLog, Server, print_log_end, stop, until_ready

if TYPE_CHECKING:
    from blackstart.process import ChildProcess
    from blackstart.settings import Settings

HOST = "127.0.0.1"
ROLE_GRACE_S = 10.0
TOKEN_NAME = "blackstart up"


@dataclass(frozen=True)
class Plan:
    """What was asked for; `port` 0 means that every server takes a free one."""

    data: Path | None
    nodes: int
    workers: int
    port: int
    as_json: bool


@dataclass
class Platform:
    """All processes of one `up`; they end in the reverse of the order they were started in.

    `locked_uri` is that of an embedded database with the guard's credentials.
    """

    plan: Plan
    settings: Settings
    folder: Path
    stack: AsyncExitStack
    servers: dict[str, Server] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    embedded: bool = False
    locked_uri: str = ""
    guard: UpGuard | None = None
    token: str = ""

    async def start(self) -> None:
        """Raises: DatabaseError, UsageError, ProcessError."""
        self.environment = await self._shared_environment()
        plan = self.plan
        await self._start_guard()
        await self._start({"origin": (Role.ORIGIN, {})})
        await self._start(
            {
                f"node-{number}": (Role.NODE, self._node_environment(number))
                for number in range(1, plan.nodes + 1)
            }
        )
        self.environment["BLACKSTART_NODE_URLS"] = ",".join(self.urls(Role.NODE))
        self.environment.setdefault("BLACKSTART_PUBLIC_URL", self._public_url())
        rest = {f"worker-{number}": Role.WORKER for number in range(1, plan.workers + 1)}
        rest["control"] = Role.CONTROL
        rest["snapshots"] = Role.SNAPSHOTS
        await self._start({name: (role, {}) for name, role in rest.items()})
        self.token = await self._operator_token()

    def urls(self, role: Role) -> list[str]:
        """The addresses of all servers of a role."""
        return [
            server.url for name, server in self.servers.items() if name.partition("-")[0] == role
        ]

    async def watch(self) -> None:
        """Wait until a process ends by itself. Raises: ProcessError."""
        database = asyncio.ensure_future(self._watch_database())
        try:
            while True:
                for server in self.servers.values():
                    server.raise_if_ended(starting=False)
                if database.done():
                    database.result()
                await asyncio.sleep(POLL_S * 4)
        finally:
            database.cancel()

    async def _shared_environment(self) -> dict[str, str]:
        from blackstart.errors import UsageError

        settings = self.settings
        uri = await self._database()
        objects = settings.object_store
        if settings.mongodb_uri and self.plan.data is None and not objects:
            raise UsageError(
                "BLACKSTART_MONGODB_URI keeps the documents, so the files must be kept as well",
                hint="give --data DIR or set BLACKSTART_OBJECT_STORE",
            )
        from secrets import token_urlsafe

        return {
            # One person on loopback may build from any folder that they can read.
            "BLACKSTART_REPO_FOLDERS": "/",
            **self._pointer_log(),
            **os.environ,
            "BLACKSTART_MONGODB_URI": uri,
            "BLACKSTART_OBJECT_STORE": objects or str(self.folder / "objects"),
            "BLACKSTART_GIT_CACHE": str(self.folder / "git"),
            "BLACKSTART_NODE_LEASE_S": str(settings.node_lease_s),
            "BLACKSTART_PURGE_TOKEN": settings.purge_token.get_secret_value() or token_urlsafe(),
            "TMPDIR": str(self.folder / "tmp"),
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST])),
        }

    def _pointer_log(self) -> dict[str, str]:
        """Beside the files. Where those outlive a folder that does not, the log must as well."""
        if self.plan.data is None and self.settings.object_store:
            return {}
        return {"BLACKSTART_POINTER_LOG": str(self.folder / "pointer-log")}

    def _public_url(self) -> str:
        """Where a browser on this machine reaches the sites: through the first node."""
        return f"http://{self.settings.domain}:{self.urls(Role.NODE)[0].rpartition(':')[2]}"

    async def _operator_token(self) -> str:
        """A token for whoever started this run; those of earlier runs are worth nothing now."""
        from blackstart.clock import WallClock
        from blackstart.control.tokens import TokenService
        from blackstart.model import Scope
        from blackstart.seed import Seed
        from blackstart.store.metadata import connect

        uri = self.environment["BLACKSTART_MONGODB_URI"]
        async with connect(uri, self.settings.database) as store:
            tokens = TokenService(store, WallClock(), Seed.from_entropy())
            for earlier in await tokens.list():
                if earlier.name == TOKEN_NAME and earlier.revoked_at is None:
                    await tokens.revoke(earlier.id)
            _, token = await tokens.create(TOKEN_NAME, [Scope.OPERATE])
        return token

    def _node_environment(self, number: int) -> dict[str, str]:
        return {
            "BLACKSTART_ORIGIN_URL": self.servers["origin"].url,
            "BLACKSTART_NODE_NAME": f"node-{number}",
            "BLACKSTART_CACHE_DIR": str(self.folder / "cache" / f"node-{number}"),
            # Where all runs on one machine, a node that hears of no purges is more likely
            # one whose database is broken than one that was cut off.
            "BLACKSTART_SERVE_UNHEARD": "true",
        }

    async def _database(self) -> str:
        """Raises: DatabaseError when the one that was named does not answer; ProcessError."""
        from blackstart.cli.console import doing
        from blackstart.store.metadata import connect

        named = self.settings.mongodb_uri
        if named:
            with doing("looking for MongoDB"):
                async with connect(named, self.settings.database):
                    return named
        self.embedded = True
        keep = None if self.plan.data is None else self.folder / "mongodb"
        locked = self.settings.switches().want_guard
        with doing("starting the database"):
            uri = await self.stack.enter_async_context(_patient(keep, locked=locked))
            if not locked:
                return uri
            self.locked_uri = uri
            return await uri_of_services(uri, self.settings.database)

    async def _start_guard(self) -> None:
        """Before a database that only the guard and the services can get into."""
        from blackstart.cli.console import doing

        if not self.locked_uri:
            return
        with doing("starting the guard"):
            throw_away = [self.folder] if self.plan.data is None else []
            guard = launch(
                self.folder,
                self.locked_uri,
                self.settings.database,
                self.environment,
                throw_away,
            )
            self.stack.push_async_callback(stop, [guard.server.child])
            await guard.until_ready()
        self.guard, self.servers["guard"] = guard, guard.server

    async def _start(self, wanted: Mapping[str, tuple[Role, Mapping[str, str]]]) -> None:
        """Start servers side by side and wait until each answers."""
        from blackstart.cli.console import doing

        group: list[ChildProcess] = []
        self.stack.push_async_callback(stop, group)
        with doing(f"starting {', '.join(wanted)}"):
            for name, (role, environment) in wanted.items():
                self.servers[name] = self._launch(name, role, environment)
                group.append(self.servers[name].child)
            for name, (role, _) in wanted.items():
                await until_ready(self.servers[name], role)

    def _launch(self, name: str, role: Role, environment: Mapping[str, str]) -> Server:
        from blackstart.process import ChildProcess

        command = [sys.executable, "-P", "-m", "blackstart.cli", "serve", role]
        command += ["--listen", f"{HOST}:{self._port(name)}"]
        if self.plan.data is not None:
            command += ["--hold", str(self.folder / "roles.lock")]
        log = RoleLog(self.folder / "logs" / f"{name}.log")
        child = ChildProcess.start(
            name,
            command,
            log=log.path,
            env={**self.environment, **environment},
            remove=[self.folder] if self.plan.data is None else [],
            grace_s=ROLE_GRACE_S,
        )
        return Server(name, child, log)

    def _port(self, name: str) -> int:
        role, _, number = name.partition("-")
        if self.plan.port == 0 or role not in (Role.CONTROL, Role.NODE):
            return 0
        return self.plan.port + int(number or 0)

    async def _watch_database(self) -> None:
        """Hold a connection to the embedded database open: it closes when the database ends."""
        from blackstart.errors import ProcessError

        if not self.embedded:
            return
        address = self.environment["BLACKSTART_MONGODB_URI"].rpartition("/?")[0]
        port = int(address.rpartition(":")[2])
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, port)
                try:
                    await reader.read(1)
                finally:
                    writer.close()
            except OSError:
                break
            await asyncio.sleep(POLL_S)
        log = self.folder / "mongodb" / "mongodb.log"
        if log.exists():
            print_log_end("the database", log.read_text(errors="replace").splitlines())
        raise ProcessError("the embedded MongoDB ended, so everything was ended")


@asynccontextmanager
async def _patient(keep: Path | None, *, locked: bool) -> AsyncIterator[str]:
    """The embedded MongoDB, when the one of a run that was killed has let go of its data."""
    from blackstart.errors import ProcessError
    from blackstart.store import embedded_mongodb

    tries = int(EARLIER_RUN_TIMEOUT_S) if keep is not None else 1
    for left in reversed(range(tries)):
        mongodb = embedded_mongodb(keep, locked=locked)
        try:
            uri = await mongodb.__aenter__()
        except ProcessError as error:
            if "resource busy" not in error.message or left == 0:
                raise
            await asyncio.sleep(1)
            continue
        try:
            yield uri
        finally:
            await mongodb.__aexit__(None, None, None)
        return
