"""Cache directives of a response: Cache-Control (RFC 9111) and CDN-Cache-Control (RFC 9213)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import http_sf

from blackstart.cdn.message import Headers

# Any larger number of seconds means "very long" (RFC 9111 section 1.2.2).
MAX_SECONDS = 2**31

_DIRECTIVE = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"  # the name, a token
    r'(?:\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,;"]*))?'  # its value, quoted or not
)


@dataclass(frozen=True, slots=True)
class Directives:
    """What a response says about storing and reusing it; durations in seconds."""

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    max_age_s: int | None = None
    s_maxage_s: int | None = None
    stale_if_error_s: int | None = None

    @property
    def lifetime_s(self) -> int | None:
        """The explicit freshness lifetime for a shared cache; None when there is none."""
        return self.s_maxage_s if self.s_maxage_s is not None else self.max_age_s

    @property
    def forbids_stale(self) -> bool:
        """Whether stale use is forbidden outright (RFC 9111 section 4.2.4)."""
        return self.must_revalidate or self.proxy_revalidate or self.no_cache

    def stale_window_s(self, default_s: float) -> float:
        """How long past its lifetime a copy may stand in for an error (RFC 5861 section 4).

        Without the directive the cache's default holds, except after
        `s-maxage`, which implies `proxy-revalidate` (RFC 9111 section 5.2.2.10).
        """
        if self.forbids_stale:
            return 0.0
        if self.stale_if_error_s is not None:
            return float(self.stale_if_error_s)
        return 0.0 if self.s_maxage_s is not None else default_s


def directives_of(headers: Headers) -> Directives:
    """The directives that count for this cache: a valid targeted field wins (RFC 9213)."""
    targeted = headers.joined("cdn-cache-control")
    if targeted is not None:
        found = _parse_targeted(targeted)
        if found is not None:
            return found
    general = headers.joined("cache-control")
    return _NOTHING if general is None else parse_general(general)


@lru_cache(maxsize=1024)
def parse_general(value: str) -> Directives:
    """Read a Cache-Control field leniently; a garbled number of seconds counts as 0."""
    found: dict[str, str | None] = {}
    for name, argument in _DIRECTIVE.findall(value):
        found.setdefault(name.lower(), argument.strip('"') or None)
    return _build(found)


@lru_cache(maxsize=1024)
def _parse_targeted(value: str) -> Directives | None:
    """Read a targeted field strictly; None when empty or malformed: it counts as absent."""
    try:
        members = http_sf.parse(value.encode("latin-1"), tltype="dictionary")
    except (http_sf.StructuredFieldError, UnicodeEncodeError):
        return None
    assert isinstance(members, dict)
    if not members:
        return None
    found: dict[str, str | None] = {}
    for name, member in members.items():
        argument = member[0] if isinstance(member, tuple) else member
        if argument is not False:
            found[name] = None if argument is True else str(argument)
    return _build(found)


def _build(found: Mapping[str, str | None]) -> Directives:
    def seconds(name: str) -> int | None:
        return _seconds(found[name]) if name in found else None

    return Directives(
        no_store="no-store" in found,
        no_cache="no-cache" in found,
        private="private" in found,
        must_revalidate="must-revalidate" in found,
        proxy_revalidate="proxy-revalidate" in found,
        max_age_s=seconds("max-age"),
        s_maxage_s=seconds("s-maxage"),
        stale_if_error_s=seconds("stale-if-error"),
    )


def _seconds(text: str | None) -> int:
    """Delta-seconds; what is not a plain number makes the response stale at once."""
    if text is None or not (text.isascii() and text.isdigit()):
        return 0
    # Python refuses to convert absurdly long digit strings, so length is judged first.
    return MAX_SECONDS if len(text) > 10 else min(int(text), MAX_SECONDS)


_NOTHING = Directives()
