"""Who the visitor is: what peers say counts only when they are trusted."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from blackstart.cdn.front import TrustedPeers
from blackstart.cdn.front.proxy_header import read_proxy_header
from blackstart.cdn.front.refusal import Refusal
from blackstart.errors import UsageError

Serve = Callable[..., AbstractAsyncContextManager[Any]]

LOOPBACK = TrustedPeers.of(["127.0.0.0/8", "::1/128"])
CHAIN = TrustedPeers.of(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])
FORWARDED = TrustedPeers.of(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"], "forwarded")


@pytest.mark.parametrize(
    "trusted, fields, client, scheme",
    [
        (TrustedPeers(), [("x-forwarded-for", "1.2.3.4")], "127.0.0.1", "http"),
        (TrustedPeers(), [("x-forwarded-proto", "https")], "127.0.0.1", "http"),
        (CHAIN, [("x-forwarded-for", "1.2.3.4")], "1.2.3.4", "http"),
        (CHAIN, [("x-forwarded-for", "9.9.9.9, 1.2.3.4")], "1.2.3.4", "http"),
        (CHAIN, [("x-forwarded-for", "9.9.9.9, 1.2.3.4, 10.1.1.1")], "1.2.3.4", "http"),
        (
            CHAIN,
            [("x-forwarded-for", "9.9.9.9, 1.2.3.4"), ("x-forwarded-for", "10.1.1.1")],
            "1.2.3.4",
            "http",
        ),
        (CHAIN, [("x-forwarded-for", "10.1.1.2,10.1.1.1")], "10.1.1.2", "http"),
        (CHAIN, [("x-forwarded-for", "1.2.3.4, rubbish, 10.1.1.1")], "10.1.1.1", "http"),
        (CHAIN, [("x-forwarded-for", "1.2.3.4:5678")], "1.2.3.4", "http"),
        (CHAIN, [("x-forwarded-for", "[2001:db9::1]:80, 2001:db8::1")], "2001:db9::1", "http"),
        (CHAIN, [("x-forwarded-for", "::ffff:1.2.3.4")], "1.2.3.4", "http"),
        (CHAIN, [("x-forwarded-for", "")], "127.0.0.1", "http"),
        (
            CHAIN,
            [("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "HTTPS")],
            "1.2.3.4",
            "https",
        ),
        (CHAIN, [("x-forwarded-proto", "https, http")], "127.0.0.1", "http"),
        (CHAIN, [("x-forwarded-proto", "gopher")], "127.0.0.1", "http"),
        (CHAIN, [("forwarded", "for=9.9.9.9;proto=https")], "127.0.0.1", "http"),
        (FORWARDED, [("x-forwarded-for", "9.9.9.9")], "127.0.0.1", "http"),
        (FORWARDED, [("forwarded", "for=9.9.9.9, for=1.2.3.4;proto=https")], "1.2.3.4", "https"),
        (FORWARDED, [("forwarded", 'For="[2001:db9::1]:80";by=x')], "2001:db9::1", "http"),
        (FORWARDED, [("forwarded", 'by=x; for="1.2.3.4:5";Proto="https"')], "1.2.3.4", "https"),
        (FORWARDED, [("forwarded", "for=unknown")], "127.0.0.1", "http"),
        (FORWARDED, [("forwarded", "for=1.2.3.4, by=x")], "127.0.0.1", "http"),
    ],
)
def test_the_visitor_is_the_first_address_that_nobody_trusted_vouches_for(
    trusted: TrustedPeers, fields: list[tuple[str, str]], client: str, scheme: str
) -> None:
    assert trusted.visitor("127.0.0.1", "http", fields) == (client, scheme)


def test_an_ipv4_peer_on_an_ipv6_socket_is_the_same_peer() -> None:
    assert LOOPBACK.trusts("::ffff:127.0.0.1")
    assert not LOOPBACK.trusts("::ffff:10.0.0.1")


def test_a_proxy_header_that_nobody_may_send_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="from trusted peers only"):
        TrustedPeers.of([], proxy_protocol=True)


def test_networks_are_checked_when_they_are_told() -> None:
    with pytest.raises(UsageError, match=r"10\.0\.0\.0/8"):
        TrustedPeers.of(["10.0.0.1/8"])


@pytest.mark.parametrize("trusted, client", [(LOOPBACK, "1.2.3.4"), (None, "127.0.0.1")])
async def test_forwarded_fields_tell_the_node_and_then_go_no_further(
    serve: Serve, trusted: TrustedPeers | None, client: str
) -> None:
    async with serve(trusted=trusted) as site:
        await site.ask(
            b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 1.2.3.4\r\n"
            b"X-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: https\r\n\r\n"
        )
        request = site.node.requests[0]
        assert request.client == client
        assert request.scheme == ("https" if trusted else "http")
        assert request.host == "a.example"
        assert len(request.headers) == 0


def version_2(command: int, family: int, addresses: bytes) -> bytes:
    head = struct.pack("!BBH", command, family, len(addresses))
    return b"\r\n\r\n\x00\r\nQUIT\n" + head + addresses


IPV4 = bytes([1, 2, 3, 4, 127, 0, 0, 1, 0, 80, 0, 80])
IPV6 = bytes.fromhex("20010db9000000000000000000000001") + bytes(20)

GOOD = [
    (b"PROXY TCP4 1.2.3.4 127.0.0.1 5678 80\r\n", "1.2.3.4"),
    (b"PROXY TCP6 2001:db9::1 ::1 5678 80\r\n", "2001:db9::1"),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    (version_2(0x21, 0x11, IPV4), "1.2.3.4"),
    (version_2(0x21, 0x11, IPV4 + b"\x04\x00\x01x"), "1.2.3.4"),
    (version_2(0x21, 0x21, IPV6), "2001:db9::1"),
    (version_2(0x20, 0x00, b""), None),
    (version_2(0x21, 0x00, b""), None),
    (version_2(0x21, 0x31, bytes(216)), None),
]


@pytest.mark.parametrize("header, client", GOOD)
def test_a_proxy_header_is_read_whole_and_not_before(header: bytes, client: str | None) -> None:
    assert read_proxy_header(header + b"GET") == (client, len(header))
    for end in range(len(header)):
        assert read_proxy_header(header[:end]) is None


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 1.2.3.4 127.0.0.1 5678\r\n",
        b"PROXY TCP4 1.2.3 127.0.0.1 5678 80\r\n",
        b"PROXY TCP4 2001:db9::1 ::1 5678 80\r\n",
        b"PROXY TCP5 1.2.3.4 127.0.0.1 5678 80\r\n",
        b"PROXY UNKNOWN " + b"x" * 200,
        b"\r\n\r\n\x00\r\nQUIX",
        version_2(0x11, 0x11, IPV4),
        version_2(0x22, 0x11, IPV4),
        version_2(0x21, 0x11, IPV4[:8]),
        version_2(0x21, 0x21, IPV4),
        version_2(0x21, 0x00, bytes(5000)),
    ],
)
def test_what_is_no_proxy_header_is_refused(header: bytes) -> None:
    with pytest.raises(Refusal, match="PROXY header"):
        read_proxy_header(header)


GET = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


@pytest.mark.parametrize("step", [1, 1000])
@pytest.mark.parametrize("header, client", GOOD)
async def test_a_trusted_peer_begins_with_a_proxy_header(
    serve: Serve, header: bytes, client: str | None, step: int
) -> None:
    trusted = TrustedPeers.of(["127.0.0.1"], proxy_protocol=True)
    data = header + GET + GET
    async with serve(trusted=trusted) as site, site.client() as raw:
        for at in range(0, len(data), step):
            await raw.send(data[at : at + step])
        for _ in range(2):
            assert (await raw.answer())[0] == 200
        assert {request.client for request in site.node.requests} == {client or "127.0.0.1"}


async def test_a_trusted_peer_without_its_proxy_header_is_refused(serve: Serve) -> None:
    trusted = TrustedPeers.of(["127.0.0.1"], proxy_protocol=True)
    async with serve(trusted=trusted) as site:
        assert (await site.ask(GET))[0] == 400


async def test_other_peers_speak_plain_http(serve: Serve) -> None:
    trusted = TrustedPeers.of(["10.0.0.0/8"], proxy_protocol=True)
    async with serve(trusted=trusted) as site:
        assert (await site.ask(GET))[0] == 200
        assert (await site.ask(GOOD[0][0] + GET))[0] == 400


async def test_connections_count_for_the_client_that_the_proxy_names(serve: Serve) -> None:
    from blackstart.cdn.front import Limits

    trusted = TrustedPeers.of(["127.0.0.1"], proxy_protocol=True)
    limits = Limits(connections_per_client=1)
    async with serve(limits, trusted) as site, site.client() as first, site.client() as second:
        await first.send(GOOD[0][0] + GET)
        assert (await first.answer())[0] == 200
        await second.send(GOOD[4][0] + GET)
        assert (await second.answer())[0] == 503
        async with site.client() as other:
            await other.send(GOOD[1][0] + GET)
            assert (await other.answer())[0] == 200
