"""Requests on the disk: one file for each, in one folder that several processes may use.

Every change happens under a lock of the folder, on what the file says at that
moment, and is on the disk when the call returns. The calls block.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blackstart.durable import fsync_folder, make_folder, replace_file
from blackstart.errors import InvalidDocumentError, NotFoundError
from blackstart.guard.requests.model import Request
from blackstart.store.backend import storage_errors

COUNTER = "last"
LOCK = "lock"
_FILE = re.compile(r"(\d{8})\.json")

Replace = Callable[[Path, bytes], None]
"""Puts bytes in the place of a file, durably."""

_Stamp = tuple[int, int, int]


class RequestFolder:
    """Raises (all methods): StorageError when the disk fails."""

    def __init__(self, path: Path, *, replace: Replace = replace_file) -> None:
        self._path = path
        self._replace = replace
        self._known: dict[int, tuple[_Stamp, Request]] = {}
        with self._errors():
            make_folder(path)

    def get(self, number: int) -> Request:
        """Raises: NotFoundError; InvalidDocumentError for a file that is no request."""
        with self._errors():
            found = self._read(number)
        if found is None:
            raise NotFoundError(f"no request {number}", hint="see `blackstart guard list --all`")
        return found

    def all(self) -> list[Request]:
        """Every request, oldest first. Raises: InvalidDocumentError."""
        with self._errors():
            numbers = sorted(self._numbers())
            found = [self._read(number) for number in numbers]
        self._known = {number: self._known[number] for number in numbers if number in self._known}
        return [request for request in found if request is not None]

    def add(self, make: Callable[[int, list[Request]], Request]) -> Request:
        """Keep what `make` gives for the next number and all that there are.

        It may give one of those instead, and then nothing is written.
        """
        with self._locked():
            there = self.all()
            number = max([self._last(), *(request.number for request in there)]) + 1
            made = make(number, there)
            if made.number == number:
                # The number first: it is never given twice, whatever is removed or crashes.
                self._replace(self._path / COUNTER, json.dumps(number).encode())
                self._replace(self._file(number), made.encode())
            return made

    def change(self, number: int, make: Callable[[Request], Request]) -> Request:
        """Put what `make` gives in the place of a request.

        What `make` raises leaves it as it is. Raises: NotFoundError, InvalidDocumentError.
        """
        with self._locked():
            before = self.get(number)
            after = make(before)
            if after != before:
                self._replace(self._file(number), after.encode())
            return after

    def remove(self, number: int) -> None:
        """Take away a request that is of no use any more."""
        with self._locked():
            self._file(number).unlink(missing_ok=True)
            self._known.pop(number, None)
            fsync_folder(self._path)

    def _file(self, number: int) -> Path:
        return self._path / f"{number:08}.json"

    def _numbers(self) -> Iterator[int]:
        for name in os.listdir(self._path):
            match = _FILE.fullmatch(name)
            if match is not None:
                yield int(match[1])

    def _read(self, number: int) -> Request | None:
        path = self._file(number)
        try:
            found = path.stat()
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            known = self._known.get(number)
            if known is not None and known[0] == stamp:
                return known[1]
            request = Request.decode(path.read_bytes())
        except FileNotFoundError:
            return None
        except InvalidDocumentError as error:
            raise InvalidDocumentError(f"{path}: {error.message}") from error
        if request.number != number:
            raise InvalidDocumentError(f"{path} holds request {request.number}")
        self._known[number] = (stamp, request)
        return request

    def _last(self) -> int:
        try:
            return int((self._path / COUNTER).read_text())
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise InvalidDocumentError(f"{self._path / COUNTER} holds no number") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._errors(), (self._path / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with storage_errors(f"cannot keep requests in {self._path}"):
            yield
