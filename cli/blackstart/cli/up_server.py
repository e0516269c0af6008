"""One role as a process: started, watched, and quoted when it dies."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blackstart.cli.serve import HEALTH_PATHS, Role

if TYPE_CHECKING:
    import httpx2

    from blackstart.process import ChildProcess

START_TIMEOUT_S = 30.0
POLL_S = 0.05
LOG_LINES = 10


class RoleLog:
    """What a process wrote since it was started; it can be read even after the file is gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._file = open(path, encoding="utf-8", errors="replace")  # noqa: SIM115
        self._start = self._file.seek(0, os.SEEK_END)

    def lines(self) -> list[str]:
        self._file.seek(self._start)
        return self._file.read().splitlines()


@dataclass
class Server:
    """One role as a running process."""

    name: str
    child: ChildProcess
    log: RoleLog
    url: str = ""

    def raise_if_ended(self, *, starting: bool) -> None:
        """Raises: ProcessError with what it said last."""
        from blackstart.errors import ProcessError

        code = self.child.exit_code
        if code is None:
            return
        lines = [line for line in self.log.lines() if line.strip()]
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if starting and said:
            raise ProcessError(f"{self.name} did not start: {said[-1]}")
        print_log_end(self.name, lines)
        how = f"was killed by signal {256 - code}" if code > 192 else f"ended with exit code {code}"
        raise ProcessError(f"{self.name} {how}, so everything was ended")


async def stop(group: list[ChildProcess]) -> None:
    await asyncio.gather(*(child.stop() for child in group))


async def until_ready(server: Server, role: Role) -> None:
    """Wait for the line with its address, then until it answers over HTTP. Raises: ProcessError."""
    import httpx2

    from blackstart.errors import ProcessError

    said = f"{role} listening on "
    async with httpx2.AsyncClient(trust_env=False, timeout=2.0) as client:
        for _ in range(int(START_TIMEOUT_S / POLL_S)):
            server.raise_if_ended(starting=True)
            for line in server.log.lines():
                if line.startswith(said):
                    server.url = line.removeprefix(said).strip()
            if server.url and await _answers(client, server.url + HEALTH_PATHS[role]):
                return
            await asyncio.sleep(POLL_S)
    print_log_end(server.name, server.log.lines())
    raise ProcessError(f"{server.name} did not answer within {START_TIMEOUT_S:.0f} seconds")


async def _answers(client: httpx2.AsyncClient, url: str) -> bool:
    import httpx2

    try:
        return (await client.get(url)).status_code == 200
    except httpx2.HTTPError:
        return False


def print_log_end(name: str, lines: list[str]) -> None:
    print(f"The end of the log of {name}:", file=sys.stderr)
    for line in lines[-LOG_LINES:] or ["(empty)"]:
        print(f"    {line}", file=sys.stderr)
