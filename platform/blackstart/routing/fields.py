"""Which header fields a site may set on its answers, and with which values."""

from __future__ import annotations

import re
from collections.abc import Callable

from blackstart.errors import UsageError
from blackstart.routing.pattern import shown

MAX_VALUE_CHARS = 8_000
"""Longer fields than 8,190 bytes break off the answer at a node and at many other clients."""
MAX_TAGS = 500
MAX_TAG_CHARS = 1_024
TAG_FIELDS = frozenset({"cache-tag", "netlify-cache-tag"})

_TRANSFER = "the server sets it for each transfer"
_NODES = "the nodes set it"
FORBIDDEN = {
    # Netlify's documentation lists these; they describe the bytes and the connection.
    "accept-ranges": _TRANSFER,
    "connection": _TRANSFER,
    "content-encoding": "files are served as they are",
    "content-length": _TRANSFER,
    "content-range": _TRANSFER,
    "date": _TRANSFER,
    "server": _TRANSFER,
    "trailer": _TRANSFER,
    "transfer-encoding": _TRANSFER,
    "upgrade": _TRANSFER,
    "allow": _TRANSFER,
    "alt-svc": "it would lead visitors to another server",
    "age": _NODES,
    "location": "write a redirect",
    "set-cookie": "the nodes would give one visitor's cookie to all",
    # The connection's others (RFC 9110 section 7.6.1), and what nodes say and rely on.
    "keep-alive": _TRANSFER,
    "proxy-connection": _TRANSFER,
    "te": _TRANSFER,
    "via": _NODES,
    "cache-status": _NODES,
    "etag": "it is the file's digest, by which nodes know a new version",
    # These have a meaning at Netlify that nothing here gives them.
    "basic-auth": "password protection is not supported, and the password would be public",
    "netlify-vary": "it is not supported",
}
"""Fields that a site cannot set, and why."""
_OURS = "blackstart-"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # a token, RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e]*")  # RFC 9110 section 5.5, without what is not ASCII
_TAG = re.compile(r"[!-+\--~]+")  # visible ASCII without the comma that separates tags


def check_field(name: str, value: str) -> tuple[str, str]:
    """The field's name in lower case, and its value. Raises: UsageError where it is refused."""
    lower = name.lower()
    if not _NAME.fullmatch(name):
        raise UsageError(f"not a header name: {shown(name)}")
    if lower.startswith(_OURS):
        raise UsageError(f"header {lower} cannot be set: the platform's own")
    if lower in FORBIDDEN:
        raise UsageError(f"header {lower} cannot be set: {FORBIDDEN[lower]}")
    if not value:
        raise UsageError(f"header {lower} has no value")
    if not _VALUE.fullmatch(value):
        raise UsageError(f"header {lower} has a character that is not printable ASCII")
    return lower, value


def split_tags(value: str, report: Callable[[str], None]) -> tuple[str, ...]:
    """The cache tags of one field in lower case, each once; what is no tag is reported."""
    tags: list[str] = []
    for tag in filter(None, (part.strip() for part in value.split(","))):
        if len(tag) > MAX_TAG_CHARS:
            report(f"cache tag is longer than {MAX_TAG_CHARS} characters: {shown(tag)}")
        elif not _TAG.fullmatch(tag):
            report(f"not a cache tag: {shown(tag)}")
        else:
            tags.append(tag.lower())
    return tuple(dict.fromkeys(tags))
