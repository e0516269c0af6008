"""The path pattern of a redirect, `/news/:year/*`, matched in one pass and without regexes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote

from blackstart.errors import UsageError

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
SPLAT = "splat"
_PLACEHOLDER = re.compile(f":({NAME})")


class Piece(NamedTuple):
    """A part of a pattern or a target: plain text, or the name of a placeholder."""

    text: str
    is_name: bool


class Visit(NamedTuple):
    """A visitor's decoded path: without leading slashes, and as segments without a trailing one."""

    rest: str
    segments: tuple[str, ...]


def visit(path: str) -> Visit:
    """Read a decoded URL path; `/a` and `/a/` have the same segments."""
    rest = path.lstrip("/")
    bare = rest.rstrip("/")
    return Visit(rest, tuple(bare.split("/")) if bare else ())


@dataclass(frozen=True)
class PathPattern:
    """Whole segments, then, where `prefix` is not None, a `*` that takes all the rest.

    `prefix` is what stands before the `*` in its segment, mostly nothing.
    """

    segments: tuple[Piece, ...]
    prefix: str | None

    @property
    def names(self) -> frozenset[str]:
        """The names that a match binds."""
        bound = {piece.text for piece in self.segments if piece.is_name}
        return frozenset(bound if self.prefix is None else bound | {SPLAT})

    @property
    def exact(self) -> tuple[str, ...] | None:
        """The segments of the one path that it matches, if it is only one."""
        if self.names:
            return None
        return tuple(piece.text for piece in self.segments)

    @property
    def first(self) -> str | None:
        """The first segment of every path that it matches, if that is always the same."""
        if not self.segments or self.segments[0].is_name:
            return None
        return self.segments[0].text

    def match(self, path: Visit) -> dict[str, str] | None:
        """What the placeholders stand for in this path; None where it does not match."""
        count = len(self.segments)
        if len(path.segments) < count or (self.prefix is None and len(path.segments) > count):
            return None
        bound: dict[str, str] = {}
        for piece, segment in zip(self.segments, path.segments, strict=False):
            if piece.is_name:
                bound[piece.text] = segment
            elif piece.text != segment:
                return None
        if not all(bound.values()):
            return None
        if self.prefix is not None:
            parts = path.rest.split("/", count)
            rest = parts[count] if len(parts) > count else ""
            if not rest.startswith(self.prefix):
                return None
            bound[SPLAT] = rest[len(self.prefix) :]
        return bound


def parse_pattern(text: str) -> PathPattern:
    """Read a pattern such as `/news/:year/*`. Raises: UsageError."""
    if not text.startswith("/"):
        raise UsageError(f"a rule is for a path, which starts with '/': {shown(text)}")
    if "?" in text:
        raise UsageError(f"query parameters stand apart from the path: {shown(text)}")
    raw = [part for part in text.split("/") if part]
    prefix = None
    if raw and raw[-1].endswith("*"):
        prefix = unquote(raw.pop()[:-1])
    if any("*" in part for part in raw) or (prefix is not None and "*" in prefix):
        raise UsageError(f"'*' can only stand at the end of the path: {shown(text)}")
    pieces = tuple(piece for part in raw for piece in _pieces(part))
    pattern = PathPattern(pieces, prefix)
    bound = [piece.text for piece in pieces if piece.is_name] + [SPLAT] * (prefix is not None)
    if len(bound) != len(pattern.names):
        raise UsageError(f"a placeholder stands twice: {shown(text)}")
    return pattern


def _pieces(part: str) -> list[Piece]:
    """One segment as written; an encoded slash makes two, as it does in a visitor's path."""
    if part.startswith(":"):
        match = _PLACEHOLDER.fullmatch(part)
        if match is None:
            raise UsageError(f"a placeholder is a whole segment, ':name': {shown(part)}")
        return [Piece(match[1], True)]
    return [Piece(segment, False) for segment in unquote(part).split("/") if segment]


def shown(text: str) -> str:
    """What an author wrote, quoted and short enough for one line."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
