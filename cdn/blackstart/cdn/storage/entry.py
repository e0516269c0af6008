"""One stored response without its body, in as few bytes as will do: there may be a million."""

from __future__ import annotations

from dataclasses import dataclass, field

from blackstart.cdn.message import Headers
from blackstart.cdn.storage.eviction import Link

Part = tuple[int, int, int]
Selecting = tuple[tuple[str, str | None], ...]


# What a tuple of one field and the objects in it take beside the text.
_FIELD_BYTES = 128


class OnDisk(Link):
    """Where an entry's body lies on disk: `number` names the file."""

    __slots__ = ("entry", "number")

    def __init__(self, entry: Entry, number: int) -> None:
        super().__init__()
        self.entry = entry
        self.number = number


@dataclass(slots=True, eq=False)
class Entry(Link):
    """One stored response, without its body.

    `key` is the primary key, shared by all variants of a page. `selecting` has,
    for each field that the response varies on (lower case, sorted), the
    normalised value of the request that made it. `head` is `Headers.packed` of
    the stored fields; `size` the body bytes that are held. `part` is set for
    a stored 206: first byte, byte after the last, complete length. `rules` are
    bit flags that storage does not look at. `tags` are in lower case. `stale`
    means: never fresh until the origin confirms it.

    The two fields at the end belong to the cache.
    """

    key: str
    selecting: Selecting
    status: int
    head: bytes
    size: int
    part: Part | None
    stored_at: float
    initial_age_s: float
    lifetime_s: float
    stale_if_error_s: float
    stale_while_revalidate_s: float
    rules: int
    tags: tuple[str, ...]
    plan: str
    stale: bool = False
    body: bytes | None = field(default=None, init=False, repr=False)
    disk: OnDisk | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        Link.__init__(self)

    @property
    def headers(self) -> Headers:
        """The stored fields."""
        return Headers.from_packed(self.head)

    @property
    def text_bytes(self) -> int:
        """What key, fields and the visitor's part in the choice of a variant take."""
        size = len(self.key) + len(self.head)
        for name, value in self.selecting:
            size += _FIELD_BYTES + len(name) + len(value or "")
        return size
