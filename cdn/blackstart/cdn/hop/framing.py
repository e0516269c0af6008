"""Where a response's body ends: what an origin may announce, read strictly (RFC 9112 section 6)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum, auto

from blackstart.cdn.hop.failures import no_answer

MAX_LENGTH_DIGITS = 18
_TIMEOUT = re.compile(r"(?:^|[,\s])timeout=(\d{1,6})(?:$|[,\s])", re.ASCII | re.IGNORECASE)


class Framing(Enum):
    """How the end of a body is told."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()


def framing_of(
    method: str, status: int, version: str, lengths: Sequence[str], codings: Sequence[str]
) -> Framing:
    """The framing of the answer to `method`, by the values of its two fields, one per line.

    Whatever two readers could read in two ways is refused, also where a
    recipient may repair it: a cache would keep what it misread for everybody.

    Raises: HopError when the announcements are broken or contradict each other.
    """
    if codings and lengths:
        raise no_answer("it has both Content-Length and Transfer-Encoding")
    if len(lengths) > 1:
        raise no_answer("it has more than one Content-Length")
    if lengths and not _is_length(lengths[0]):
        raise no_answer(f"its Content-Length {lengths[0][:40]!r} is no length")
    if codings and ", ".join(codings).lower() != "chunked":
        raise no_answer(f"its transfer coding {', '.join(codings)[:40]!r} is not known")
    if codings and version == "1.0":
        raise no_answer("it is HTTP/1.0 and has a Transfer-Encoding")
    if method == "HEAD" or status < 200 or status in (204, 304):
        return Framing.NONE
    if codings:
        return Framing.CHUNKED
    return Framing.LENGTH if lengths else Framing.CLOSE


def may_trail(lengths: Sequence[str], codings: Sequence[str]) -> bool:
    """Whether an answer without a body announces one, which a broken origin might then send.

    Such a body would be read as the next answer on the connection.
    """
    return bool(codings) or (bool(lengths) and lengths[0].strip("0") != "")


def keeps_alive(version: str, options: Sequence[str]) -> bool:
    """Whether a connection lives on after an answer with these `Connection` options (9.3)."""
    if "close" in options:
        return False
    return version == "1.1" or "keep-alive" in options


def promised_s(values: Sequence[str]) -> int | None:
    """How long the origin keeps a connection that rests, by its `Keep-Alive` field, in seconds."""
    found = _TIMEOUT.search(", ".join(values))
    return None if found is None else int(found[1])


def _is_length(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) <= MAX_LENGTH_DIGITS
