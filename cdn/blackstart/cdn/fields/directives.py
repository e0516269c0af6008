"""Cache directives: Cache-Control (RFC 9111 section 5.2), targeted fields (RFC 9213)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import http_sf

from blackstart.cdn.fields.remembered import remembered
from blackstart.cdn.message import Headers

# Any larger number of seconds means "very long" (RFC 9111 section 1.2.2).
MAX_SECONDS = 2**31

_DIRECTIVE = re.compile(
    r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"  # the name, a token
    r'(?:(=)("(?:[^"\\]|\\.)*"|[^\s,"]*))?'  # its value, quoted or not
)
_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DURATIONS = frozenset({"max-age", "s-maxage", "stale-if-error", "stale-while-revalidate"})


@dataclass(frozen=True, slots=True)
class Directives:
    """What a response says about storing and reusing it; durations in seconds.

    `no_cache` and `private` are the unqualified forms. The fields that the
    qualified forms name are in `unkept_fields`, in lower case: a cache that
    neither keeps nor sends them may use the rest (RFC 9111 sections 5.2.2.4
    and 5.2.2.7). `targeted` tells that a targeted field was read, beside which
    neither Cache-Control nor Expires counts.
    """

    no_store: bool = False
    no_cache: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    immutable: bool = False
    max_age_s: int | None = None
    s_maxage_s: int | None = None
    stale_if_error_s: int | None = None
    stale_while_revalidate_s: int | None = None
    unkept_fields: frozenset[str] = frozenset()
    targeted: bool = False

    @property
    def lifetime_s(self) -> int | None:
        """The explicit freshness lifetime for a shared cache; None when there is none."""
        return self.s_maxage_s if self.s_maxage_s is not None else self.max_age_s

    @property
    def forbids_stale(self) -> bool:
        """Whether stale use is forbidden outright (RFC 9111 section 4.2.4)."""
        return self.must_revalidate or self.proxy_revalidate or self.no_cache

    @property
    def allows_authorized(self) -> bool:
        """Whether an answer to a request with Authorization may be kept (RFC 9111 section 3.5)."""
        return self.public or self.must_revalidate or self.s_maxage_s is not None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a request asks of a cache (RFC 9111 section 5.2.1); durations in seconds."""

    no_store: bool = False
    no_cache: bool = False
    only_if_cached: bool = False
    max_age_s: int | None = None
    max_stale_s: int | None = None
    min_fresh_s: int | None = None
    stale_if_error_s: int | None = None


def directives_of(headers: Headers, targeted: Sequence[str] = ("cdn-cache-control",)) -> Directives:
    """The directives that count for this cache: the first valid targeted field wins."""
    for name in targeted:
        value = headers.joined(name)
        if value is not None:
            found = _parse_targeted(value)
            if found is not None:
                return found
    general = headers.joined("cache-control")
    return NOTHING if general is None else parse_general(general)


@remembered(1024)
def parse_general(value: str) -> Directives:
    """Read a Cache-Control field; the first of several equal directives counts.

    A number of seconds that is none makes the response stale, as section 4.2.1
    of RFC 9111 encourages.
    """
    return _build(_split(value), targeted=False)


@remembered(1024)
def parse_wishes(value: str) -> Wishes:
    """Read the Cache-Control of a request; what makes no sense is passed over."""
    found = _split(value)

    def seconds(name: str) -> int | None:
        argument = found.get(name)
        return None if argument is None or not _is_number(argument) else _seconds(argument)

    return Wishes(
        no_store="no-store" in found,
        no_cache="no-cache" in found,
        only_if_cached="only-if-cached" in found,
        max_age_s=seconds("max-age"),
        # Without a value any staleness will do (section 5.2.1.2).
        max_stale_s=MAX_SECONDS if found.get("max-stale", "") is None else seconds("max-stale"),
        min_fresh_s=seconds("min-fresh"),
        stale_if_error_s=seconds("stale-if-error"),
    )


def _split(value: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for name, equals, argument in _DIRECTIVE.findall(value):
        text = _unquoted(argument) if equals else None
        found.setdefault(name.lower(), text)
    return found


def _unquoted(argument: str) -> str:
    if len(argument) >= 2 and argument[0] == argument[-1] == '"':
        return re.sub(r"\\(.)", r"\1", argument[1:-1])
    return argument


@remembered(1024)
def _parse_targeted(value: str) -> Directives | None:
    """Read a targeted field strictly; None when empty or malformed: it counts as absent.

    A number of seconds has to be an Integer: a String or Decimal is no number (RFC 9213
    section 2.1).
    """
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
        if argument is False:
            continue
        is_wrong = argument is True or (name in _DURATIONS and type(argument) is not int)
        found[name] = None if is_wrong else str(argument)
    return _build(found, targeted=True)


def _build(found: Mapping[str, str | None], *, targeted: bool) -> Directives:
    def seconds(name: str) -> int | None:
        return _seconds(found[name]) if name in found else None

    def window(name: str) -> int | None:
        """A permission: what cannot be read grants nothing."""
        argument = found.get(name)
        return None if argument is None or not _is_number(argument) else _seconds(argument)

    unkept = _fields(found.get("no-cache")) | _fields(found.get("private"))
    return Directives(
        no_store="no-store" in found,
        no_cache="no-cache" in found and not _fields(found["no-cache"]),
        private="private" in found and not _fields(found["private"]),
        public="public" in found,
        must_revalidate="must-revalidate" in found,
        proxy_revalidate="proxy-revalidate" in found,
        must_understand="must-understand" in found,
        immutable="immutable" in found,
        max_age_s=seconds("max-age"),
        s_maxage_s=seconds("s-maxage"),
        stale_if_error_s=window("stale-if-error"),
        stale_while_revalidate_s=window("stale-while-revalidate"),
        unkept_fields=unkept,
        targeted=targeted,
    )


def _fields(argument: str | None) -> frozenset[str]:
    """The field names of a qualified directive; none when one of them is no field name."""
    names = [name.strip() for name in (argument or "").split(",")]
    if not all(_FIELD_NAME.fullmatch(name) for name in names):
        return frozenset()
    return frozenset(name.lower() for name in names)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _seconds(text: str | None) -> int:
    """Delta-seconds; what is not a plain number makes the response stale at once."""
    if text is None or not _is_number(text):
        return 0
    # Python refuses to convert absurdly long digit strings, so length is judged first.
    return MAX_SECONDS if len(text.lstrip("0")) > 10 else min(int(text), MAX_SECONDS)


NOTHING = Directives()
