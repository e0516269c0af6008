"""The PROXY header that a load balancer puts before a connection, versions 1 and 2.

The format: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from blackstart.cdn.front.refusal import Refusal

_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_MAX_BYTES = 4096
_V1_MAX_BYTES = 107
_V1 = re.compile(
    rb"PROXY (?:UNKNOWN(?: [ -~]*)?|(TCP[46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+)"
    rb" [0-9]{1,5} [0-9]{1,5})"
)


def read_proxy_header(data: bytes) -> tuple[str | None, int] | None:
    """The client's address and the header's length; None while the header is not all there.

    The address is None when the balancer speaks for itself, or does not know.
    Raises: Refusal when the data does not begin with a PROXY header.
    """
    if data[:12] == _V2[: len(data)]:
        return _version_2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _version_1(data)
    raise Refusal(400, "a PROXY header is needed")


def _version_1(data: bytes) -> tuple[str | None, int] | None:
    end = data.find(b"\r\n", 0, _V1_MAX_BYTES)
    if end < 0:
        if len(data) >= _V1_MAX_BYTES:
            raise Refusal(400, "the PROXY header is too long")
        return None
    match = _V1.fullmatch(data[:end])
    if match is None:
        raise Refusal(400, "the PROXY header is not one")
    if match[1] is None:
        return None, end + 2
    try:
        address = ip_address(match[2].decode())
    except ValueError:
        raise Refusal(400, "the PROXY header has no address") from None
    if f"TCP{address.version}".encode() != match[1]:
        raise Refusal(400, "the PROXY header has an address of the other family")
    return str(address), end + 2


def _version_2(data: bytes) -> tuple[str | None, int] | None:
    if len(data) < 16:
        return None
    command, family = data[12], data[13]
    end = 16 + int.from_bytes(data[14:16], "big")
    if command not in (0x20, 0x21) or end > _V2_MAX_BYTES:
        raise Refusal(400, "the PROXY header is not one")
    if len(data) < end:
        return None
    if command == 0x20:  # LOCAL: a health check of the balancer's own.
        return None, end
    if family == 0x11 and end >= 16 + 12:
        return str(IPv4Address(data[16:20])), end
    if family == 0x21 and end >= 16 + 36:
        return str(IPv6Address(data[16:32])), end
    if family in (0x11, 0x21):
        raise Refusal(400, "the PROXY header is too short for its addresses")
    return None, end
