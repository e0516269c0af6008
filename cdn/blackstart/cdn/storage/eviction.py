"""Who leaves when a plan's space is full."""

from __future__ import annotations

from typing import Generic, TypeVar

_SEEN = 1
_HELD = 2


class Link:
    """What a policy threads on its chain.

    Its two marks are bits of one number: there may be a million links.
    """

    __slots__ = ("_marks", "newer", "older")

    def __init__(self) -> None:
        self.newer: Link | None = None
        self.older: Link | None = None
        self._marks = 0

    @property
    def seen(self) -> bool:
        """Whether it was used since the hand passed."""
        return bool(self._marks & _SEEN)

    @seen.setter
    def seen(self, seen: bool) -> None:
        self._marks = self._marks | _SEEN if seen else self._marks & ~_SEEN

    @property
    def held(self) -> bool:
        """Whether it is in the cache."""
        return bool(self._marks & _HELD)

    @held.setter
    def held(self, held: bool) -> None:
        self._marks = self._marks | _HELD if held else self._marks & ~_HELD

    def use(self) -> None:
        """Note a use."""
        self._marks |= _SEEN


Item = TypeVar("Item", bound=Link)


class Sieve(Generic[Item]):
    """SIEVE: a hand goes from the oldest to the newest, spares what was used, takes what was not.

    A use costs one attribute and moves nothing; a scan passes through without
    taking what is used again and again. Zhang and others, NSDI 2024.
    """

    def __init__(self) -> None:
        self._newest: Link | None = None
        self._oldest: Link | None = None
        self._hand: Link | None = None
        self._length = 0

    def add(self, item: Item) -> None:
        """Take in what is not in yet, as the newest."""
        newest = self._newest
        item.newer, item.older, item.seen = None, newest, False
        if newest is None:
            self._oldest = item
        else:
            newest.newer = item
        self._newest = item
        self._length += 1

    def remove(self, item: Item) -> None:
        """Take out what is in."""
        newer, older = item.newer, item.older
        if newer is None:
            self._newest = older
        else:
            newer.older = older
        if older is None:
            self._oldest = newer
        else:
            older.newer = newer
        if self._hand is item:
            self._hand = newer
        item.newer = item.older = None
        self._length -= 1

    def victim(self) -> Item:
        """Who leaves next; there must be one. The caller removes it."""
        candidate = self._hand or self._oldest
        assert candidate is not None, "nothing is left to evict"
        while candidate.seen:
            candidate.seen = False
            following: Link | None = candidate.newer or self._oldest
            assert following is not None
            candidate = following
        self._hand = candidate
        return candidate  # type: ignore[return-value]

    def __len__(self) -> int:
        return self._length
