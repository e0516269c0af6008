"""The index of a cache: which keys a page or a tag stands for, wherever their bytes are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from blackstart.cdn.entry import Entry


@dataclass(slots=True)
class _Page:
    """The variants of one page: what its newest response varies on, and their keys."""

    vary: tuple[str, ...]
    keys: dict[str, None] = field(default_factory=dict)


class Index:
    """Looks keys up by page and by tag. Dicts stand in for sets, to keep their order."""

    def __init__(self) -> None:
        self._pages: dict[str, _Page] = {}
        self._by_tag: dict[str, dict[str, None]] = {}
        self._cards: dict[str, tuple[str, tuple[str, ...]]] = {}

    def add(self, entry: Entry) -> None:
        """Enter an entry, in place of an older one with the same key."""
        self.discard(entry.key)
        self._cards[entry.key] = (entry.primary, entry.tags)
        page = self._pages.setdefault(entry.primary, _Page(entry.vary))
        page.vary = entry.vary
        page.keys[entry.key] = None
        for tag in entry.tags:
            self._by_tag.setdefault(tag, {})[entry.key] = None

    def discard(self, key: str) -> None:
        """Take a key out, if it is in."""
        card = self._cards.pop(key, None)
        if card is None:
            return
        primary, tags = card
        page = self._pages[primary]
        del page.keys[key]
        if not page.keys:
            del self._pages[primary]
        for tag in tags:
            keys = self._by_tag[tag]
            del keys[key]
            if not keys:
                del self._by_tag[tag]

    def vary_of(self, primary: str) -> tuple[str, ...]:
        """The request headers that this page's newest stored response depends on."""
        page = self._pages.get(primary)
        return () if page is None else page.vary

    def keys_of_page(self, primary: str) -> list[str]:
        """The keys of all stored variants of a page."""
        page = self._pages.get(primary)
        return [] if page is None else list(page.keys)

    def keys_of_tags(self, tags: Iterable[str]) -> list[str]:
        """The keys stored under any of these tags, each once."""
        found: dict[str, None] = {}
        for tag in tags:
            found.update(self._by_tag.get(tag, {}))
        return list(found)

    def keys(self) -> list[str]:
        """Every key."""
        return list(self._cards)

    def __len__(self) -> int:
        return len(self._cards)
