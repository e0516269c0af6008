"""Whose word counts about where a visitor comes from: only that of peers in trusted networks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from blackstart.errors import UsageError

Network = IPv4Network | IPv6Network

_FORWARDED_FOR = re.compile(r"""(?:^|;)[ \t]*for=("[^"]*"|[^;," \t]*)""", re.IGNORECASE)
_FORWARDED_PROTO = re.compile(r'(?:^|;)[ \t]*proto="?(https?)"?[ \t]*(?:;|$)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TrustedPeers:
    """The networks of our own proxies, and how they tell who the visitor is.

    They use one of two fields, and the other one is not believed: a proxy
    passes on unread what the visitor put into it. With `proxy_protocol` each
    connection from these networks must begin with a PROXY header.
    """

    networks: tuple[Network, ...] = ()
    client_field: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for"
    proxy_protocol: bool = False
    _known: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls,
        networks: Iterable[str],
        client_field: Literal["x-forwarded-for", "forwarded"] = "x-forwarded-for",
        *,
        proxy_protocol: bool = False,
    ) -> TrustedPeers:
        """From networks as people write them: `10.0.0.0/8`, `::1`. Raises: UsageError."""
        try:
            parsed = tuple(ip_network(each) for each in networks)
        except ValueError as error:
            raise UsageError(str(error), hint="write trusted peers like 10.0.0.0/8") from error
        if proxy_protocol and not parsed:
            raise UsageError(
                "a PROXY header is taken from trusted peers only, and there are none",
                hint="name their networks with --trusted or BLACKSTART_TRUSTED_PEERS",
            )
        return cls(parsed, client_field, proxy_protocol)

    def trusts(self, address: str | None) -> bool:
        """Whether the address lies in one of the networks."""
        if not self.networks or address is None:
            return False
        return _is_in(address, self.networks)

    def visitor(
        self, peer: str | None, scheme: str, forwarded: list[tuple[str, str]]
    ) -> tuple[str | None, str]:
        """The visitor's address and scheme, from what a peer forwarded.

        Read from the right: each trusted address vouches for the one to its
        left, and the first one that isn't trusted is the visitor.
        """
        if not self.trusts(peer):
            return peer, scheme
        elements = [
            element.strip(" \t")
            for name, value in forwarded
            if name == self.client_field
            for element in value.split(",")
        ]
        client = peer
        for element in reversed(elements):
            address = self._address(element)
            if address is None:
                break
            client = address
            if not self.trusts(address):
                break
        return client, self._scheme(forwarded, elements) or scheme

    def _address(self, element: str) -> str | None:
        if self.client_field == "forwarded":
            match = _FORWARDED_FOR.search(element)
            if match is None:
                return None
            element = match[1].strip('"')
        return plain_address(element)

    def _scheme(self, forwarded: list[tuple[str, str]], elements: list[str]) -> str | None:
        if self.client_field == "forwarded":
            match = _FORWARDED_PROTO.search(elements[-1]) if elements else None
            return match[1].lower() if match else None
        said = [value for name, value in forwarded if name == "x-forwarded-proto"]
        last = said[-1].rpartition(",")[2].strip(" \t").lower() if said else ""
        return last if last in ("http", "https") else None


def plain_address(text: str) -> str | None:
    """The address in `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]` or `[::1]:80`; else None."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(_unmapped(text))
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _is_in(address: str, networks: tuple[Network, ...]) -> bool:
    try:
        parsed = _unmapped(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


def _unmapped(text: str) -> object:
    """An IPv4 address that came over an IPv6 socket is an IPv4 address."""
    address = ip_address(text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
