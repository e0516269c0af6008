"""A fetch from the origin under way, which hears of every purge until it ends."""

from __future__ import annotations

from collections.abc import Iterable


class Fetch:
    """What it brings may be older than a purge that arrives meanwhile.

    It must then neither be stored nor be served to whoever asked after the purge.
    """

    __slots__ = ("_everything", "_tags", "key")

    def __init__(self, key: str) -> None:
        self.key = key
        self._tags: set[str] = set()
        self._everything = False

    def hear(self, tags: Iterable[str] | None) -> None:
        """Note a purge of these tags, or of everything."""
        if tags is None:
            self._everything = True
        else:
            self._tags.update(tags)

    def outdates(self, tags: Iterable[str]) -> bool:
        """Whether a purge that came meanwhile covers a response with these tags."""
        return self._everything or not self._tags.isdisjoint(tags)
