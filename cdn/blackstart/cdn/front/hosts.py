"""The authority of a request: what a Host field or an absolute target may hold."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address

MAX_CHARACTERS = 255 + 6  # a name and its port

_AUTHORITY = re.compile(r"([A-Za-z0-9._-]+|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{0,5}))?")
_MAX_PORT = 65535


def host_of(authority: str) -> str | None:
    """The authority in lower case, without an empty port; None when it is not `host[:port]`.

    Registered names are held to letters, digits, `.`, `-` and `_`: whatever
    else RFC 3986 allows in one has no use here but to be read in two ways.
    """
    return _host_of(authority) if len(authority) <= MAX_CHARACTERS else None


@lru_cache(maxsize=1024)
def _host_of(authority: str) -> str | None:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return None
    name, address, port = match.groups()
    if address is not None:
        try:
            IPv6Address(address)
        except AddressValueError:
            return None
    if port and int(port) > _MAX_PORT:
        return None
    return (f"{name}:{port}" if port else name).lower()
