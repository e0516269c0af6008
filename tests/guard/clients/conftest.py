"""The whole guard before the embedded MongoDB, a reviewer who approves all, and npm's clients."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from blackstart.clock import WallClock
from blackstart.guard.logins import Logins, Role
from blackstart.guard.requests import Request, Saved
from blackstart.guard.service import Parts, Places, open_guard
from blackstart.guard.settings import GuardSettings
from blackstart.seed import Seed
from blackstart.store import ObjectStore

PASSWORD = "correct-horse-battery"
PATIENCE_S = 120.0

Run = Callable[..., Awaitable[str]]


@dataclass
class Reviewed:
    """A guard at whose side a reviewer approves what is held."""

    uri: str
    direct: str
    saved: list[int]
    """The held writes that ran: a snapshot was taken of each."""


@pytest.fixture
async def reviewed(mongodb_uri: str, store: Any, tmp_path: Path) -> AsyncIterator[Reviewed]:
    folder, saved = tmp_path / "guard", list[int]()
    logins = Logins(Places(folder).logins)
    logins.add("ada", PASSWORD)
    logins.add("bob", PASSWORD, roles=[Role.REVIEWER])

    async def save(request: Request) -> Saved:
        saved.append(request.number)
        return Saved("snapshot-1", "blackstart snapshot restore snapshot-1")

    settings = GuardSettings(mongodb_uri=mongodb_uri, guard_data=folder, guard_wait_s=60.0)
    async with AsyncExitStack() as stack:
        own = await stack.enter_async_context(AsyncMongoClient[dict[str, Any]](mongodb_uri))
        objects = ObjectStore.open("memory://")
        parts = Parts(own, save, objects, WallClock(), Seed.from_entropy())
        sock = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        guard = await stack.enter_async_context(open_guard(settings, parts, address))
        await guard.proxy.start(sock)
        await stack.enter_async_context(_approving(f"mongodb://bob:{PASSWORD}@{address}/"))
        yield Reviewed(f"mongodb://ada:{PASSWORD}@{address}/", mongodb_uri, saved)


@asynccontextmanager
async def _approving(uri: str) -> AsyncIterator[None]:
    """Bob approves each request as it comes."""

    async def approve(bob: AsyncMongoClient[dict[str, Any]]) -> None:
        while True:
            for each in (await bob.admin.command("guardRequests", 1))["requests"]:
                if each["state"] == "held":
                    said = {"digest": each["digest"], "reason": "as agreed"}
                    await bob.admin.command("guardApprove", each["number"], **said)
            await asyncio.sleep(0.02)

    async with AsyncMongoClient[dict[str, Any]](uri) as bob:
        approving = asyncio.create_task(approve(bob))
        try:
            yield
            assert not approving.done(), approving.exception()
        finally:
            approving.cancel()
            with suppress(asyncio.CancelledError):
                await approving


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a program in a folder, without any settings of whoever runs the tests."""

    async def run(folder: Path, program: str | Path, *arguments: str | Path) -> str:
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            cwd=folder,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "NO_COLOR": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE_S):
                printed, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode == 0, complaints.decode()
        return printed.decode()

    return run


@pytest.fixture
def installed() -> Callable[[str, str], Path]:
    """The folder that a variable names, in which npm has installed a package; else skips."""

    def find(variable: str, package: str) -> Path:
        folder = os.environ.get(variable)
        if not folder or shutil.which("node") is None:
            pytest.skip(f"{variable} names no folder in which npm has installed {package}")
        found = Path(folder)
        assert (found / "node_modules" / package).exists(), f"{variable}: no {package} in {folder}"
        return found

    return find
