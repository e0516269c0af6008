"""Where a redirect leads: a path of the site or a URL, with placeholders to fill in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from blackstart.errors import UsageError
from blackstart.routing.pattern import NAME, Piece, shown

# What RFC 3986 lets stand in a path (section 3.3) and in a query (section 3.4). All else is
# percent-encoded, so that neither a line break nor a backslash is ever part of a Location.
_PATH_SAFE = "/:@!$&'()*+,;=~"
_QUERY_SAFE = _PATH_SAFE + "?"
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PLACEHOLDER = re.compile(f":({NAME})")
# A host of the author's own, without user, and followed by a path: no placeholder can extend it.
_ORIGIN = re.compile(
    r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?=[/?#]|$)", re.IGNORECASE
)

Template = tuple[Piece, ...]


@dataclass(frozen=True)
class Target:
    """`host` is `https://example.org` or, for this site, empty; `query` None has none of its own.

    Texts of the templates are as the author wrote them, percent-encoded or not.
    """

    host: str
    path: Template
    query: Template | None
    fragment: str

    def location(self, bound: Mapping[str, str], query: str) -> str:
        """The Location field for a visitor who came with `query`, as ASCII (RFC 9110 10.2.2).

        For this site it starts with exactly one slash: two would name another host.
        """
        path = _fill(self.path, bound, _PATH_SAFE)
        if not self.host:
            path = "/" + path.lstrip("/")
        passed_on = self._query(bound, query)
        location = f"{self.host}{path}?{passed_on}" if passed_on else f"{self.host}{path}"
        return f"{location}#{self.fragment}" if self.fragment else location

    def inside(self, bound: Mapping[str, str], query: str) -> tuple[str, str]:
        """The decoded path in this site, and the query, that a rewrite goes on with."""
        texts = [bound[text] if is_name else unquote(text) for text, is_name in self.path]
        return "/" + "".join(texts).lstrip("/"), self._query(bound, query)

    def _query(self, bound: Mapping[str, str], query: str) -> str:
        if self.query is None:
            return encoded(query, _QUERY_SAFE)
        return _fill(self.query, bound, _QUERY_SAFE, bound_safe="")


def parse_target(text: str, names: frozenset[str]) -> Target:
    """Read a path or a URL in which `:name` stands for what one of `names` was bound to.

    Raises: UsageError for what is neither, and for `:splat` where nothing is bound to it.
    """
    origin = _ORIGIN.match(text)
    host = origin[0] if origin else ""
    rest = text[len(host) :]
    if not host and (not rest.startswith("/") or rest.startswith("//")):
        raise UsageError(f"a rule leads to a path or to http(s)://host/path: {shown(text)}")
    rest, _, fragment = rest.partition("#")
    path, mark, query = rest.partition("?")
    return Target(
        host,
        _template(path, names),
        _template(query, names) if mark else None,
        encoded(fragment, _QUERY_SAFE),
    )


def encoded(text: str, safe: str) -> str:
    """Percent-encode what `safe` does not allow and leave what is encoded already."""
    return quote(_STRAY_PERCENT.sub("%25", text), safe=f"{safe}%", errors="replace")


def _template(text: str, names: frozenset[str]) -> Template:
    """Split at the placeholders; a colon before any other name is a plain one."""
    pieces: list[Piece] = []
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        if match[1] in names:
            pieces += [Piece(text[end : match.start()], False), Piece(match[1], True)]
            end = match.end()
        elif match[1] == "splat":
            raise UsageError("':splat' needs a '*' at the end of the path it comes from")
    pieces.append(Piece(text[end:], False))
    return tuple(piece for piece in pieces if piece.text)


def _fill(
    template: Template, bound: Mapping[str, str], safe: str, *, bound_safe: str | None = None
) -> str:
    """The template as ASCII; what a visitor sent is data and never opens a query or fragment."""
    data_safe = safe if bound_safe is None else bound_safe
    return "".join(
        quote(bound[text], safe=data_safe, errors="replace") if is_name else encoded(text, safe)
        for text, is_name in template
    )
