"""A plan as a file: one JSON object, an entry on each line, and the digest of all above it.

It can be read by people and by `jq`, and by us line by line, however long it
is. Whatever is changed in it afterwards no longer has the digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from blackstart.durable import fsync_folder
from blackstart.errors import ConflictError, NotFoundError, StorageError, UsageError
from blackstart.recovery.plan.entry import Entry

FORMAT = 1
_ENTRIES = b'"entries": [\n'
_END = b"],\n"


@dataclass(frozen=True)
class SourceNote:
    """A source that was asked, and what is wrong with it."""

    name: str
    route: str
    problems: list[str]


@dataclass(frozen=True)
class Header:
    """What a plan says of itself: of which database it is, when it was made, from which sources.

    `routes` counts its entries by route.
    """

    id: str
    database: str
    made_at: datetime
    deploys: int
    routes: dict[str, int]
    sources: list[SourceNote]

    def to_json(self) -> dict[str, Any]:
        return {"format": FORMAT, **asdict(self), "made_at": self.made_at.isoformat()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Header:
        """Raises: KeyError, ValueError, TypeError when it is none."""
        if value["format"] != FORMAT:
            raise ValueError(f"format {value['format']!r}")
        fields = {name: value[name] for name in ("id", "database", "deploys", "routes")}
        return cls(
            **fields,
            made_at=datetime.fromisoformat(value["made_at"]),
            sources=[SourceNote(**source) for source in value["sources"]],
        )


def write_plan(path: Path, header: Header, entries: Iterable[bytes]) -> str:
    """Write a plan that did not exist before; returns its digest.

    `entries` are encoded, in the order in which they are to be applied. The
    file is whole or not there. Raises: UsageError when there is one; StorageError.
    """
    if path.exists():
        raise UsageError(f"{path} exists", hint="give another name: a plan is never overwritten")
    digest = hashlib.sha256()
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with open(unfinished, "wb") as file:
            for part in _parts(header, entries):
                digest.update(part)
                file.write(part)
            file.write(_last_line(digest.hexdigest()))
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
        fsync_folder(path.parent)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def encode_entry(entry: Entry) -> bytes:
    """One entry's line, without what stands between lines. Raises: ConflictError."""
    return json.dumps(entry.to_json()).encode()


def _parts(header: Header, entries: Iterable[bytes]) -> Iterator[bytes]:
    yield b'{"plan": ' + json.dumps(header.to_json()).encode() + b",\n" + _ENTRIES
    between = b""
    for entry in entries:
        yield between + entry
        between = b",\n"
    yield (b"\n" if between else b"") + _END


def _last_line(digest: str) -> bytes:
    return b'"digest": "' + digest.encode() + b'"}\n'


class PlanFile:
    """A plan on the disk, checked as a whole when it is opened. Use as a context manager.

    Raises: NotFoundError; ConflictError when it is not what was written, or no plan at all.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file: BinaryIO = open(path, "rb")  # noqa: SIM115 - closed by `__exit__`
        except OSError as error:
            raise NotFoundError(f"cannot read the plan {path}: {error.strerror}") from error
        try:
            self.digest = self._check()
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> PlanFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def entries(self) -> Iterator[Entry]:
        """All entries in the order of the plan, read as they are asked for."""
        for line in self.lines():
            yield Entry.from_json(line)

    def lines(self) -> Iterator[dict[str, Any]]:
        """All entries as plain JSON values."""
        self._file.seek(0)
        self._file.readline()
        self._file.readline()
        for line in self._file:
            if line == _END:
                return
            yield json.loads(line.rstrip(b",\n"))

    def _check(self) -> str:
        digest = hashlib.sha256()
        last = b""
        for line in self._file:
            digest.update(last)
            last = line
        if last != _last_line(digest.hexdigest()):
            raise ConflictError(
                f"{self.path} is not what was planned: it has another digest",
                hint="make a new plan; one that was changed is never applied",
            )
        return digest.hexdigest()

    def _read_header(self) -> Header:
        self._file.seek(0)
        line = self._file.readline()
        try:
            return Header.from_json(json.loads(line.rstrip(b",\n") + b"}")["plan"])
        except (KeyError, ValueError, TypeError) as error:
            raise ConflictError(f"{self.path} is no plan that this version reads") from error
