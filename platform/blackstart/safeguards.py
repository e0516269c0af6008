"""The safeguards: switchable protections, each named once, here.

The table says what a platform does without and with each one. A service is
given one `Safeguards` and asks it by name; nothing else decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from blackstart.errors import UsageError


@dataclass(frozen=True)
class Safeguard:
    """One switch: its name, the behaviour without it, and with it."""

    name: str
    off: str
    on: str
    built: bool = True


CATALOGUE: tuple[Safeguard, ...] = (
    Safeguard(
        "peer-signoff",
        off="anyone runs any write",
        on="a write to several documents waits for a second engineer",
    ),
    Safeguard(
        "pre-write-snapshot",
        off="recovery starts from the newest scheduled snapshot",
        on="a snapshot is taken right before a write to several documents",
    ),
    Safeguard(
        "audit-trail",
        off="nobody knows which write did it",
        on="who ran what, and when, is on record",
    ),
    Safeguard(
        "schema-validator",
        off="the database takes any document",
        on="the database refuses a ready deploy without a pointer",
        built=False,
    ),
    Safeguard(
        "pointer-log",
        off="the pointer lives only in MongoDB",
        on="every pointer set is logged first",
    ),
    Safeguard(
        "self-describing-trees",
        off="a tree does not know its deploy",
        on="a tree carries its site, deploy and commit",
    ),
    Safeguard(
        "frequent-snapshots",
        off="one snapshot a day",
        on="one every 15 minutes",
    ),
    Safeguard(
        "snapshot-mount",
        off="wait for the backup to be restored",
        on="read documents straight from the snapshot at once",
    ),
    Safeguard(
        "rebuild-by-commit",
        off="only the head of a branch can be built",
        on="any commit can be built again",
    ),
    Safeguard(
        "tolerant-publish",
        off="an invalid latest deploy fails the publish check",
        on="it is passed over, the next older valid one counts",
    ),
    Safeguard(
        "verified-uploads",
        off="metadata is trusted about which files are stored",
        on="the object store is asked",
    ),
    Safeguard(
        "tolerant-api",
        off="one invalid deploy or build fails the whole response",
        on="it is listed as invalid, the rest is served",
    ),
    Safeguard(
        "honest-origin",
        off="a missing pointer is answered with 404",
        on="a missing pointer is answered with 503",
    ),
    Safeguard(
        "stale-if-error",
        off="a node passes an origin's error on",
        on="a node serves the stale copy it holds (RFC 5861)",
    ),
)

GUARD = ("peer-signoff", "pre-write-snapshot", "audit-trail")
"""What only a guard before the database can do."""

BY_NAME = {safeguard.name: safeguard for safeguard in CATALOGUE}


class Safeguards:
    """The set of switches that are on for one service.

    Raises: UsageError for a name the catalogue lacks or that is not built yet.
    """

    def __init__(self, on: Iterable[str] = ()) -> None:
        self._on: set[str] = set()
        for name in on:
            self.enable(name)

    @classmethod
    def all_built(cls) -> Safeguards:
        """Every safeguard that exists in code: the default of a running platform."""
        return cls(safeguard.name for safeguard in CATALOGUE if safeguard.built)

    @classmethod
    def parse(cls, text: str) -> Safeguards:
        """From a comma-separated list; `all` means every built one, blank means none."""
        names = [name.strip() for name in text.split(",") if name.strip()]
        return cls.all_built() if names == ["all"] else cls(names)

    def enable(self, name: str) -> None:
        """Switch one on."""
        safeguard = BY_NAME.get(name)
        if safeguard is None:
            raise UsageError(
                f"unknown safeguard {name!r}", hint="`blackstart safeguards` lists them"
            )
        if not safeguard.built:
            raise UsageError(
                f"safeguard {name!r} is planned but not built yet",
                hint="`blackstart safeguards` shows which can be switched on",
            )
        self._on.add(name)

    @property
    def want_guard(self) -> bool:
        """Whether one is on that a guard before the database keeps."""
        return any(name in self for name in GUARD)

    def copy(self) -> Safeguards:
        """An independent set with the same switches: a service can change its own."""
        return Safeguards(self)

    def __contains__(self, name: object) -> bool:
        assert name in BY_NAME, f"no safeguard is called {name!r}"
        return name in self._on

    def __iter__(self) -> Iterator[str]:
        return (safeguard.name for safeguard in CATALOGUE if safeguard.name in self._on)
