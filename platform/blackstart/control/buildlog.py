"""A build's log while it is written, as server-sent events (WHATWG HTML section 9.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from blackstart.clock import Clock
from blackstart.errors import NotFoundError
from blackstart.model import Build
from blackstart.store.builds import Builds

LOOK_EVERY_S = 0.5
KEEP_ALIVE_S = 15.0


async def follow(
    builds: Builds, build: Build, clock: Clock, *, seen: int = 0
) -> AsyncIterator[str]:
    """The events of a build's log after line number `seen`, until the build has ended.

    A comment every 15 seconds keeps proxies from closing a silent stream.
    """
    quiet_since = clock.time()
    while True:
        for number, line in enumerate(build.log[seen:], start=seen + 1):
            yield _event("line", line, number)
            quiet_since = clock.time()
        seen = max(seen, len(build.log))
        if build.state.ended:
            yield _event("end", build.state.value, seen)
            return
        if clock.time() - quiet_since >= KEEP_ALIVE_S:
            yield ": still here\n\n"
            quiet_since = clock.time()
        await clock.sleep(LOOK_EVERY_S)
        try:
            build = await builds.get(build.id)
        except NotFoundError:
            yield _event("end", "deleted", seen)
            return


def _event(name: str, data: str, number: int) -> str:
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {name}\nid: {number}\n{lines}\n"
