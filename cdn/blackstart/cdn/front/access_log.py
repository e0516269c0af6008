"""The access log: one JSON line for each answer, gathered and written about once a second."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path

import structlog

from blackstart.cdn.message import Response
from blackstart.clock import Clock
from blackstart.errors import StorageError

log = structlog.get_logger(__name__)

_BUFFER_LINES = 500
_CACHE_STATUS = re.compile(rb"(?:^|\n)cache-status: ([^\r]*)\r\n")


class AccessLog:
    """Writes to a file or to a descriptor such as stdout's; `clock` tells time and duration.

    A log that can't be written is no reason to stop: lines are lost, which is
    said once, and the next flush tries again. A file that was moved or removed,
    as a rotation of logs does, is begun anew.
    Raises: StorageError when the file can't be opened.
    """

    def __init__(self, clock: Clock, path: Path | None = None) -> None:
        self.clock = clock
        self.lost_lines = 0
        self._path = path
        self._lines: list[str] = []
        self._second = -1
        self._prefix = ""
        if path is None:
            self._descriptor = sys.stdout.fileno()
            return
        try:
            self._descriptor = _opened(path)
        except OSError as error:
            raise StorageError(f"cannot write the access log {path}: {error.strerror}") from error

    def answered(
        self,
        client: str | None,
        method: str,
        host: str,
        target: str,
        response: Response,
        sent_bytes: int,
        began_at: float,
    ) -> None:
        """Note an answer: `sent_bytes` of body went out for a request read at `began_at`."""
        now = self.clock.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        match = _CACHE_STATUS.search(response.headers.packed)
        status = quoted(match[1].decode("latin-1")) if match else "null"
        self._lines.append(
            f'{{"time": "{self._prefix}.{int(now % 1 * 1000):03}Z", '
            f'"client": {quoted(client) if client else "null"}, "method": {quoted(method)}, '
            f'"host": {quoted(host)}, "target": {quoted(target)}, '
            f'"status": {response.status}, "bytes": {sent_bytes}, '
            f'"duration": {max(0.0, now - began_at):.6f}, "cache_status": {status}}}\n'
        )
        if len(self._lines) >= _BUFFER_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        self._follow()
        left = memoryview("".join(lines).encode())
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            if not self.lost_lines:
                log.warning("access log lines are lost", error=error.strerror)
            self.lost_lines += len(lines)

    def _follow(self) -> None:
        """Go on in the file that has the log's name now; in the old one if that cannot be."""
        if self._path is None:
            return
        try:
            with suppress(FileNotFoundError):
                if os.path.samestat(os.stat(self._path), os.fstat(self._descriptor)):
                    return
            descriptor = _opened(self._path)
        except OSError:
            return
        os.close(self._descriptor)
        self._descriptor = descriptor

    def close(self) -> None:
        """Write the rest, and close the file."""
        self.flush()
        if self._path is not None:
            os.close(self._descriptor)


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
