"""What a cache holds, by page and by tag, wherever the bodies are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from blackstart.cdn.storage.entry import Entry

MOST_VARIANTS = 32
_SHARED_NUMBERS = 4096


class _Group:
    """The entries that carry the same tags. One tuple of tags serves them all."""

    __slots__ = ("entries", "tags")

    def __init__(self, tags: tuple[str, ...]) -> None:
        self.tags = tags
        self.entries: dict[Entry, None] = {}


class Contents:
    """Entries by page and by tag.

    Entries with the same tags, say all pages of one deploy, are listed once,
    not once per tag. Dicts stand in for sets, to keep their order.
    """

    def __init__(self) -> None:
        self._pages: dict[str, Entry | dict[Entry, None]] = {}
        self._groups: dict[tuple[str, ...], _Group] = {}
        self._by_tag: dict[str, dict[_Group, None]] = {}
        self._numbers: dict[float, float] = {}
        self._length = 0

    def page(self, key: str) -> tuple[Entry, ...]:
        """The variants of a page, those used last first."""
        page = self._pages.get(key)
        if page is None:
            return ()
        return tuple(reversed(page)) if type(page) is dict else (page,)  # type: ignore[return-value]

    def add(self, entry: Entry) -> list[Entry]:
        """Enter an entry; returns those it takes the place of, which are out now."""
        out = self.displaced_by(entry)
        for other in out:
            self.discard(other)
        page = self._pages.get(entry.key)
        if page is None:
            self._pages[entry.key] = entry
        elif isinstance(page, Entry):
            entry.key = page.key
            self._pages[entry.key] = {page: None, entry: None}
        else:
            entry.key = next(iter(page)).key
            page[entry] = None
        self._share(entry)
        group = self._groups.get(entry.tags)
        if group is None:
            group = self._groups[entry.tags] = _Group(entry.tags)
            for tag in entry.tags:
                self._by_tag.setdefault(tag, {})[group] = None
        entry.tags = group.tags
        group.entries[entry] = None
        entry.held = True
        self._length += 1
        return out

    def discard(self, entry: Entry) -> None:
        """Take out an entry that is in."""
        page = self._pages[entry.key]
        if isinstance(page, Entry):
            del self._pages[entry.key]
        else:
            del page[entry]
            if len(page) == 1:
                self._pages[entry.key] = next(iter(page))
        group = self._groups[entry.tags]
        del group.entries[entry]
        if not group.entries:
            del self._groups[entry.tags]
            for tag in entry.tags:
                groups = self._by_tag[tag]
                del groups[group]
                if not groups:
                    del self._by_tag[tag]
        entry.held = False
        self._length -= 1

    def used(self, entry: Entry) -> None:
        """Note a use of one of several variants: it is the last that has to go."""
        page = self._pages.get(entry.key)
        if type(page) is dict and entry in page:
            del page[entry]
            page[entry] = None

    def tagged(self, tags: Iterable[str]) -> list[Entry]:
        """The entries with any of these tags, each once."""
        groups: dict[_Group, None] = {}
        for tag in tags:
            groups.update(self._by_tag.get(tag, {}))
        return [entry for group in groups for entry in group.entries]

    def __iter__(self) -> Iterator[Entry]:
        for group in self._groups.values():
            yield from group.entries

    def __len__(self) -> int:
        return self._length

    def displaced_by(self, entry: Entry) -> list[Entry]:
        """The same variant, held already; else, when a page has too many, the one used longest ago.

        A complete response also takes the place of parts of that variant, and one
        that varies that of one that did not, which would go on to fit everybody.
        """
        if entry.key not in self._pages:
            return []
        held = self.page(entry.key)
        out = [
            other
            for other in held
            if other.selecting in (entry.selecting, ())
            and (entry.part is None or entry.part == other.part)
        ]
        return out or (list(held[-1:]) if len(held) >= MOST_VARIANTS else [])

    def _share(self, entry: Entry) -> None:
        """Let equal numbers be one object: they take more room than the field that points there."""
        if len(self._numbers) > _SHARED_NUMBERS:
            self._numbers.clear()
        share = self._numbers.setdefault
        entry.initial_age_s = share(entry.initial_age_s, entry.initial_age_s)
        entry.lifetime_s = share(entry.lifetime_s, entry.lifetime_s)
        entry.stale_if_error_s = share(entry.stale_if_error_s, entry.stale_if_error_s)
        entry.stale_while_revalidate_s = share(
            entry.stale_while_revalidate_s, entry.stale_while_revalidate_s
        )
