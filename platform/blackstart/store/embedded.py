"""The embedded MongoDB: SecantusDB as a child process, spoken to over the wire protocol.

It is started, never imported. `BLACKSTART_MONGODB_URI` names another server
to use instead; then nothing is started.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TextIO

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from blackstart.durable import replace_file
from blackstart.errors import ProcessError
from blackstart.process import ChildProcess, free_port, scratch_folder, temporary_folder

START_TIMEOUT_S = 30.0
ATTEMPTS = 3
# A ceiling, taken up as it is needed. One large write keeps every page it touches in the cache
# until it commits: a ceiling it does not fit under stops the server for good.
CACHE_MB = 1_024
USER = "blackstart"
PASSWORD_FILE = "password"
USE_ANOTHER = "set BLACKSTART_MONGODB_URI to use a MongoDB of your own"


Roles = Sequence[str | Mapping[str, str]]
"""MongoDB's own, by name, or by name and database."""


@asynccontextmanager
async def embedded_mongodb(
    folder: Path | None = None, *, cache_mb: int = CACHE_MB, locked: bool = False
) -> AsyncIterator[str]:
    """Run a MongoDB on a free loopback port; yields its URI, stops it at the end.

    `folder` keeps the data, and acknowledged writes then survive a crash;
    None means a temporary folder that is gone afterwards. `locked` lets in only
    whoever knows the password in the URI, so that a guard in front of it cannot be
    walked round. Nothing is left running when this process is killed.
    Raises: ProcessError, in one line that names BLACKSTART_MONGODB_URI.
    """
    lasting = folder is not None
    async with AsyncExitStack() as stack:
        login, options = "", list[str]()
        if locked:
            # A server is started twice to lock it, so that its folder must be there before.
            if folder is None:
                folder = await stack.enter_async_context(scratch_folder("mongodb"))
            login, options = await _lock(folder, cache_mb), ["--auth"]
        child, port = await _start(folder, cache_mb, *options, lasting=lasting)
        try:
            # One server on loopback that is never replaced: a retried command has nowhere to go.
            yield f"mongodb://{login}127.0.0.1:{port}/?directConnection=true&retryWrites=false"
        finally:
            await asyncio.shield(child.stop())


async def make_user(client: AsyncMongoClient[Any], name: str, password: str, roles: Roles) -> None:
    """An account of the server with this password, whether it was there or not.

    Raises: PyMongoError.
    """
    users = await client.admin.command("usersInfo", name)
    verb = "updateUser" if users.get("users") else "createUser"
    await client.admin.command(
        verb, name, pwd=password, roles=list(roles), mechanisms=["SCRAM-SHA-256"]
    )


async def _lock(folder: Path, cache_mb: int) -> str:
    """See that there is a user; its name and password as they stand in a URI.

    The first time a server that knows none is told of it; it listens where nobody looks.
    """
    keep = folder / PASSWORD_FILE
    if not keep.exists():
        password = secrets.token_urlsafe(24)
        child, port = await _start(folder, cache_mb, lasting=True)
        try:
            uri = f"mongodb://127.0.0.1:{port}/?directConnection=true"
            async with AsyncMongoClient[dict[str, Any]](uri) as client:
                await make_user(client, USER, password, ["root"])
            replace_file(keep, password.encode())
        except (PyMongoError, OSError) as error:
            reason = f"the embedded MongoDB could not be locked: {error}"
            raise ProcessError(reason, hint=USE_ANOTHER) from error
        finally:
            await asyncio.shield(child.stop())
    return f"{USER}:{keep.read_text()}@"


async def _start(
    folder: Path | None, cache_mb: int, *options: str, lasting: bool
) -> tuple[ChildProcess, int]:
    """A server on `folder`, or on a new one. What does not last is gone with it."""
    program = _program()
    for _ in range(ATTEMPTS):
        port = free_port()
        data = folder or temporary_folder("mongodb")
        data.mkdir(parents=True, exist_ok=True)
        command = [program, "--host", "127.0.0.1", "--port", str(port), *options]
        command += ["--storage-path", str(data / "data"), "--cache-size", f"{cache_mb}M"]
        command += ["--log-level", "WARNING"]
        # Held open from before the start: a server that dies takes its temporary folder with it.
        with open(data / "mongodb.log", "a+", errors="replace") as log:  # noqa: ASYNC230
            child = ChildProcess.start(
                "the embedded MongoDB",
                [*command, "--sync-on-commit"] if lasting else command,
                log=data / "mongodb.log",
                remove=[] if lasting else [data],
                # Data that is thrown away needs no orderly shutdown.
                grace_s=15.0 if lasting else 0.0,
            )
            try:
                if await _listening(child, port):
                    return child, port
            except BaseException:
                await asyncio.shield(child.stop())
                raise
            await child.stop()
            reason = _last_line(log)
    raise ProcessError(f"the embedded MongoDB did not start: {reason}", hint=USE_ANOTHER)


def _program() -> str:
    beside_python = Path(sys.executable).parent / "secantusd-py"
    found = str(beside_python) if beside_python.exists() else shutil.which("secantusd-py")
    if found is None:
        raise ProcessError("the embedded MongoDB (SecantusDB) is not installed", hint=USE_ANOTHER)
    return found


async def _listening(child: ChildProcess, port: int) -> bool:
    """Wait until the port answers; False when the server died or took too long."""
    for _ in range(int(START_TIMEOUT_S / 0.05)):
        if child.exit_code is not None:
            return False
        with socket.socket() as sock:
            sock.settimeout(0.5)
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return child.exit_code is None
        await asyncio.sleep(0.05)
    return False


def _last_line(log: TextIO) -> str:
    log.seek(0)
    lines = log.read().strip().splitlines()
    return lines[-1][:200] if lines else "it said nothing"
