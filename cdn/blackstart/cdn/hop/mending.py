"""The head of an answer, repaired where RFC 9112 has a gateway repair it and not refuse it."""

from __future__ import annotations

import re

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MENDABLE = re.compile(
    rb"\r\n" + _TOKEN + rb"[ \t]+(?::|\Z)|\r\ncontent-length:(?s:.*)\ncontent-length"
    rb"|\r\ncontent-length:[^\r\n]*,",
    re.IGNORECASE,
)
_SPACE_BEFORE_COLON = re.compile(rb"\r\n(" + _TOKEN + rb")[ \t]+:")
_LENGTH = re.compile(rb"\r\ncontent-length:([^\r\n]*)", re.IGNORECASE)
_DIGITS = re.compile(rb"[0-9]+")


def is_mendable(start: bytes) -> bool:
    """Whether the rest of a head is worth waiting for, as its start has what can be mended."""
    return _MENDABLE.search(start) is not None


def mended(head: bytes) -> bytes | None:
    """A head with its empty line, in the one way to read it; None when there is nothing to mend.

    White space before a colon is removed (section 5.1). Content-Length that was given several
    times, on lines or as a list, is given once where all its values are the same text (6.3).
    What is wrong apart from these is left for the parser to refuse.
    """
    lean = _SPACE_BEFORE_COLON.sub(rb"\r\n\1:", head)
    lean = _one_length(lean)
    return None if lean == head else lean


def _one_length(head: bytes) -> bytes:
    fields: list[bytes] = _LENGTH.findall(head)
    values = {value.strip(b" \t") for field in fields for value in field.split(b",")}
    if len(values) != 1:
        return head
    value = values.pop()
    if not _DIGITS.fullmatch(value):
        return head
    others = _LENGTH.sub(b"", head[:-4])
    return b"%b\r\ncontent-length: %b\r\n\r\n" % (others, value)
