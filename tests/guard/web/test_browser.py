"""The page in a real browser: a reviewer reads, decides, and is never harmed by what is read."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.guard.web.conftest import PASSWORD, Site

from blackstart.guard.requests import State

pytestmark = pytest.mark.browser

VARIABLE = "BLACKSTART_PLAYWRIGHT"
SCRIPT = Path(__file__).parent / "browser.cjs"
PATIENCE_S = 120.0
SCRIPTED = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Person:
    """Somebody at a browser."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def __call__(self, what: str, *given: Any) -> Any:
        """Do something, and return what is seen. Raises: AssertionError when it cannot be done."""
        reader, writer = self._process.stdout, self._process.stdin
        assert reader is not None and writer is not None
        writer.write(json.dumps([what, *given]).encode() + b"\n")
        async with asyncio.timeout(PATIENCE_S):
            answer = json.loads(await reader.readline() or b'{"error": "the browser is gone"}')
        assert "error" not in answer, answer["error"]
        return answer["said"]

    async def log_in(self, name: str, path: str = "/") -> None:
        await self("go", path)
        await self("fill", "Name", name)
        await self("fill", "Password", PASSWORD)
        await self("press", "Log in")
        await self("waitFor", "Log out")


People = Callable[..., AbstractAsyncContextManager[Person]]


@pytest.fixture
def person(tmp_path: Path) -> People:
    """Opens a browser at a site. Skips where there is none, or nothing to drive it with."""
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder in which npm has installed playwright-core")
    node, chromium = shutil.which("node"), shutil.which("chromium")
    if node is None or chromium is None:
        pytest.skip("a browser test needs node and chromium on the PATH")

    @asynccontextmanager
    async def person(site: Site, *, scripts: bool = False) -> AsyncIterator[Person]:
        own = {
            "FOLDER": folder,
            "CHROMIUM": chromium,
            "URL": site.url,
            "SCRIPTS": str(int(scripts)),
        }
        process = await asyncio.create_subprocess_exec(
            *(node, SCRIPT),
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], **own},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield Person(process)
        finally:
            try:
                # The end of its input ends it, and it ends the browser.
                await asyncio.wait_for(process.communicate(b""), PATIENCE_S)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()

    return person


async def test_a_reviewer_reads_what_would_be_lost_and_rejects_it_without_any_script(
    site: Site, person: People
) -> None:
    held = await site.held()
    async with person(site) as bob:
        await bob.log_in("bob", "/channel")
        assert await bob("path") == "/channel"
        await bob("follow", "Requests")
        await bob("follow", f"Request {held.number}")
        (alarm,) = await bob("text", ".alarm")
        assert "metadata.tree of 5 of 5 documents" in alarm
        await bob("fill", "Why", "it drops the pointer")
        await bob("press", "Reject")
        await bob("waitFor", "bob: it drops the pointer")
        assert await bob("path") == f"/requests/{held.number}"
        await bob("press", "Log out")
        await bob("waitFor", "With the name and the password")
    assert site.book.get(held.number).state is State.REJECTED


async def test_the_page_is_whole_safe_and_labelled_at_every_width(
    site: Site, person: People
) -> None:
    held = await site.held(schema={SCRIPTED: SCRIPTED, "x" * 300: "y" * 300}, comment=SCRIPTED)
    async with person(site, scripts=True) as bob:
        await bob.log_in("bob")
        for width in (1200, 390):
            await bob("size", width, 800)
            for path in ("/", "/channel", f"/requests/{held.number}", "/?all=1"):
                await bob("go", path)
                wide, room = await bob("widths")
                assert wide <= room, path
                assert await bob("unlabelled") == []
        await bob("go", f"/requests/{held.number}")
        assert await bob("colour", ".alarm h2") == "rgb(183, 28, 28)"
        await bob("keys", "Tab")
        assert await bob("focused") == "To the content"
        assert await bob("complaints") == [], "no script ran, and none was even tried"


async def test_who_comes_by_a_link_in_the_channel_needs_not_log_in_again(
    site: Site, person: People
) -> None:
    held = await site.held()
    link = f"{site.url}/requests/{held.number}"
    async with person(site) as bob:
        await bob.log_in("bob")
        await bob("go", "/login")
        await bob("elsewhere", link)
        await bob("waitFor", "Your decision")
        assert await bob("path") == f"/requests/{held.number}"
