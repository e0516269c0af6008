"""Tests of what a node was ordered to forget, and of when it may trust its store."""

import asyncio
import math
from dataclasses import replace

import httpx2
import pytest
from pydantic import ValidationError

from blackstart.cdn.app import NodeApp
from blackstart.cdn.asgi import CdnApp
from blackstart.cdn.message import Headers, Request, Response
from blackstart.cdn.node import Node
from blackstart.cdn.purges import Message, Order, PlaceInMemory, Purges, What
from blackstart.cdn.rules.policy import Policy
from blackstart.cdn.storage import Cache, DiskTier
from blackstart.errors import HopError, StorageError

PAGE = Request("GET", "/", "a.example")
KEEP = {
    "cache_control": "max-age=60, stale-if-error=600, stale-while-revalidate=600",
    "cache_tag": "site-1",
    "etag": '"1"',
}
LEASE_S = 15.0
URL = "/.blackstart/purge"
TOKEN = {"Authorization": "Bearer secret"}


class Store:
    """Notes what it is told to forget; may fail."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.broken = self.trusted = False

    async def purge(self, tags, *, soft=False) -> int:
        return self._note(list(tags), soft)

    async def purge_keys(self, keys, *, soft=False) -> int:
        return self._note(tuple(keys), soft)

    async def purge_prefixes(self, prefixes, *, soft=False) -> int:
        return self._note({"below": list(prefixes)}, soft)

    async def purge_all(self, *, soft=False) -> int:
        return self._note("everything", soft)

    async def forget_unread(self) -> None:
        self.told.append("what is unread")

    def trust_found(self) -> None:
        self.trusted = True

    def _note(self, what, soft) -> int:
        if self.broken:
            raise StorageError("the disk is full")
        self.told.append((what, "soft") if soft else what)
        return 1


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def purges(clock, store) -> Purges:
    return Purges(clock, store, lease_s=None)


def message(after: str | None, *positions: str, **more) -> Message:
    orders = [Order(position=position, tags=[f"t{position}"]) for position in positions]
    end = positions[-1] if positions else after
    return Message(after=after, orders=orders, **{"position": end, **more})


async def test_orders_are_carried_out_in_their_order_and_once(purges, store) -> None:
    assert await purges.obey(message("0", "1", "2")) == 2
    assert await purges.obey(message("1", "2", "3")) == 1
    assert await purges.obey(message("0", "1", "2", "3")) == 0
    assert store.told == [["t1"], ["t2"], ["t3"]]
    assert purges.position == "3"


@pytest.mark.parametrize("gap", [message("2", "3"), message("x", "1x"), message("0", "1x")])
async def test_orders_after_a_gap_are_refused(purges, store, gap) -> None:
    await purges.obey(message("0", "1"))
    assert await purges.obey(gap) is None
    assert (purges.position, store.told) == ("1", [["t1"]])


async def test_a_node_without_a_position_takes_no_orders_from_the_middle(purges) -> None:
    assert await purges.obey(message("1", "2")) is None
    assert purges.position is None


async def test_a_node_that_cannot_be_told_what_it_missed_forgets_everything(purges, store) -> None:
    await purges.obey(message("0", "1"))
    assert await purges.obey(message(None, position="70")) == 1
    assert (purges.position, store.told[-1]) == ("70", "everything")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://a.example:81/ü?ä=ö#x", "/%C3%BC?%C3%A4=%C3%B6"),
        ("http://a.example:81/a b\n", "/a%20b"),
        ("http://a.example:81/%C3%bc//..;'\"[]|\\", "/%C3%bc//..;'\"[]|\\"),
    ],
)
async def test_a_page_may_be_named_as_people_write_it(purges, store, url, target) -> None:
    await purges.forget(What(urls=[url]))
    assert store.told == [(f"a.example:81 {target}",)]


async def test_an_order_that_failed_is_not_behind_the_node(purges, store) -> None:
    await purges.obey(message("0", "1"))
    store.broken = True
    with pytest.raises(StorageError):
        await purges.obey(message("1", "2", lease_s=9, token=0))
    assert purges.position == "1"
    assert purges.trusted_until == math.inf, "and nothing else has changed"
    store.broken = False
    assert await purges.obey(message("1", "2")) == 1


async def test_tags_pages_and_everything_can_be_forgotten_or_made_stale(purges, store) -> None:
    await purges.forget(What(tags=["a"], soft=True))
    await purges.forget(What(everything=True))
    await purges.forget(What(urls=["http://A.example/x?y", "https://a.example:8443"], soft=True))
    assert store.told == [
        (["a"], "soft"),
        "everything",
        (("a.example /x?y", "a.example:80 /x?y", "a.example:8443 /"), "soft"),
    ]


@pytest.mark.parametrize(
    ("url", "keys"),
    [
        ("http://a.example", ("a.example /", "a.example:80 /")),
        ("http://a.example?x", ("a.example /?x", "a.example:80 /?x")),
        ("http://a.example/a?", ("a.example /a?", "a.example:80 /a?")),
        ("http://a.example//a;b#c", ("a.example //a;b", "a.example:80 //a;b")),
        ("HTTPS://me@a.example:443/", ("a.example /", "a.example:443 /")),
        ("http://[::1]/", ("[::1] /", "[::1]:80 /")),
        ("http://[::1]:8080/", ("[::1]:8080 /",)),
    ],
)
async def test_a_url_names_the_page_that_visitors_get(purges, store, url, keys) -> None:
    await purges.forget(What(urls=[url]))
    assert store.told == [keys]


@pytest.mark.parametrize(
    "url",
    [
        *("a.example/x", "ftp://a.example/", "http:///x", "http://a.example:99999/"),
        *("http://a.example:x/", "http://a b/", "http://[::/", "//a.example/"),
    ],
)
def test_what_names_no_page_is_refused(url) -> None:
    with pytest.raises(ValidationError):
        What(urls=[url])


async def test_only_a_purge_by_hand_is_carried_out_where_nothing_was_read(purges, store) -> None:
    await purges.forget_by_hand(What(tags=["a"]))
    await purges.obey(Message(after="0", position="1", orders=[Order(position="1", tags=["b"])]))
    assert store.told == [["a"], "what is unread", ["b"]]


# --- The lease ---


async def test_who_never_heard_of_purges_has_no_lease(purges, clock) -> None:
    clock.advance(1e9)
    assert purges.heard
    await purges.obey(message("0", "1"))
    assert purges.heard, "nor one whose orders come without"


async def test_a_lease_counts_from_the_token_however_late_the_message(clock, store) -> None:
    purges = Purges(clock, store, lease_s=LEASE_S)
    assert not purges.heard
    await purges.obey(message("0", lease_s=LEASE_S))
    assert not purges.heard, "no token, no lease"
    token = purges.token()
    clock.advance(10)
    await purges.obey(message("0", lease_s=LEASE_S, token=token))
    assert purges.trusted_until == token + LEASE_S
    await purges.obey(message("0", lease_s=LEASE_S, token=token - 5))
    assert purges.trusted_until == token + LEASE_S, "an older message takes nothing away"
    await purges.obey(message("0", lease_s=LEASE_S, token=clock.time() + 1e6))
    assert purges.trusted_until == clock.time() + LEASE_S
    clock.advance(LEASE_S)
    assert not purges.heard


async def test_a_refused_or_unfinished_message_prolongs_nothing(clock, store) -> None:
    purges = Purges(clock, store, lease_s=LEASE_S)
    token = purges.token()
    await purges.obey(message("7", "8", lease_s=LEASE_S, token=token))
    assert not purges.heard
    await purges.obey(message("0", "1", lease_s=LEASE_S, token=token, more=True))
    assert not purges.heard
    await purges.obey(message("1", "2", lease_s=LEASE_S, token=token))
    assert purges.heard


async def test_what_a_clock_that_is_set_back_adds_to_a_lease_ends_with_the_next_message(
    clock, store
) -> None:
    purges = Purges(clock, store, lease_s=LEASE_S)
    await purges.obey(message("0", lease_s=LEASE_S, token=purges.token()))
    clock.advance(-3600)
    await purges.obey(message("0", lease_s=LEASE_S, token=purges.token()))
    clock.advance(LEASE_S)
    assert not purges.heard


async def test_a_first_lease_binds_a_node_that_had_none(purges) -> None:
    await purges.obey(message("0", "1", lease_s=LEASE_S))
    assert not purges.heard


async def test_after_a_restart_a_kept_store_is_not_trusted(clock, store) -> None:
    place = PlaceInMemory()
    await Purges(clock, store, place, lease_s=None).obey(message("0", "1"))
    again = Purges(clock, store, place, lease_s=None)
    await again.open()
    assert (again.position, again.heard, store.trusted) == ("1", False, False)
    assert await again.obey(message("2", "3")) is None
    assert not store.trusted, "an order between was missed"
    await again.obey(message("1", "2"))
    assert (again.heard, store.trusted) == (True, True)


@pytest.mark.parametrize(
    ("missed", "cache_status"),
    [
        (message("1"), "n1; hit"),
        (message("1", "2"), "n1; hit"),
        (
            Message(after="1", position="2", orders=[Order(position="2", tags=["site-1"])]),
            "fwd=uri-miss",
        ),
        (Message(after=None, position="9", orders=[]), "fwd=uri-miss"),
    ],
)
async def test_a_disk_is_trusted_again_once_nothing_is_missed(
    tmp_path, clock, origin, missed, cache_status
) -> None:
    def restarted() -> Node:
        quotas = {"free": 1_000_000}
        cache = Cache(clock, quotas, disk=DiskTier(tmp_path, quotas, clock))
        return Node(clock, origin, cache, name="n1", lease_s=LEASE_S)

    node = restarted()
    await node.start()
    await node.purges.obey(message("0", "1", token=node.purges.token(), lease_s=LEASE_S))
    origin.says(**KEEP)
    await node.answer(PAGE)
    await node.close()

    node = restarted()
    await node.start()
    assert node.purges.position == "1"
    heard = {"token": node.purges.token(), "lease_s": LEASE_S}
    assert await node.purges.obey(missed.model_copy(update=heard)) is not None
    response = await node.answer(PAGE)
    assert cache_status in response.headers.get("cache-status")
    await node.close()


def test_an_answer_may_be_shared_until_a_purge_can_be_acknowledged(clock, store) -> None:
    purges = Purges(clock, store, lease_s=LEASE_S)
    begun_at = clock.time()
    clock.advance(LEASE_S - 1)
    assert purges.may_share(begun_at)
    clock.advance(1)
    assert not purges.may_share(begun_at)


# --- A node that has not heard ---


@pytest.fixture
async def unheard(clock, origin, cache) -> Node:
    """It holds a fresh page, and its lease has run out."""
    node = Node(clock, origin, cache, name="n1", lease_s=LEASE_S)
    origin.says(**KEEP)
    await node.answer(PAGE)
    await node.purges.obey(message("0", lease_s=LEASE_S, token=node.purges.token()))
    assert node.quick(PAGE).body == b"page"
    clock.advance(LEASE_S)
    return node


async def test_what_is_stored_is_only_served_once_the_origin_confirmed_it(unheard, origin) -> None:
    assert unheard.quick(PAGE) is None
    origin.answer = Response(304, Headers([("etag", '"1"'), ("cache-control", "max-age=60")]))
    for expected in (2, 3):
        assert (await unheard.answer(PAGE)).body == b"page"
        assert len(origin.requests) == expected
        assert origin.requests[-1].headers.get("if-none-match") == '"1"'


async def test_its_metrics_say_so(unheard) -> None:
    assert b"blackstart_cdn_heard 0.0" in unheard.metrics.text()
    await unheard.purges.obey(message("0", lease_s=LEASE_S, token=unheard.purges.token()))
    assert b"blackstart_cdn_heard 1.0" in unheard.metrics.text()


@pytest.mark.parametrize("field", ["max-stale", "only-if-cached", "stale-if-error=1000"])
async def test_no_wish_of_a_visitor_brings_it_out(unheard, origin, clock, field) -> None:
    origin.answer = HopError("down")
    response = await unheard.answer(replace(PAGE, headers=Headers([("cache-control", field)])))
    assert response.status in (502, 504)


@pytest.mark.parametrize("failure", [HopError("down"), Response(503)])
async def test_a_failing_origin_is_not_covered_for(unheard, origin, clock, failure) -> None:
    for _ in range(2):
        origin.answer = failure
        assert (await unheard.answer(PAGE)).status in (502, 503)
        clock.advance(60)  # Now it is stale as well: stale-while-revalidate would do.
    unheard.policy = Policy(serve_unheard=True)
    assert (await unheard.answer(PAGE)).body == b"page"


async def test_it_serves_again_once_it_has_caught_up(unheard, origin) -> None:
    await unheard.purges.obey(message("0", "1", lease_s=LEASE_S, token=unheard.purges.token()))
    assert unheard.quick(PAGE).body == b"page"
    order = Order(position="2", tags=["site-1"])
    await unheard.purges.obey(Message(after="1", orders=[order], position="2", lease_s=LEASE_S))
    assert unheard.quick(PAGE) is None


async def test_visitors_share_a_fetch_only_while_it_is_younger_than_a_lease(
    unheard, origin, clock
) -> None:
    go_on = asyncio.Event()
    origin.meanwhile = go_on.wait
    origin.says(200, b"older", **KEEP)
    first = asyncio.ensure_future(unheard.answer(PAGE))
    await asyncio.sleep(0)
    clock.advance(LEASE_S - 1)
    second = asyncio.ensure_future(unheard.answer(PAGE))
    await asyncio.sleep(0)
    assert len(origin.requests) == 2, "the first is the fixture's"
    clock.advance(1)
    third = asyncio.ensure_future(unheard.answer(PAGE))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(origin.requests) == 3
    go_on.set()
    answers = await asyncio.gather(first, second, third)
    assert ["collapsed" in answer.headers.get("cache-status") for answer in answers] == [
        False,
        True,
        False,
    ]


# --- Over HTTP ---


@pytest.fixture
async def client(node):
    transport = httpx2.ASGITransport(CdnApp(NodeApp(node, "secret")))
    async with httpx2.AsyncClient(transport=transport, base_url="http://a.example") as client:
        yield client


async def test_a_node_answers_where_it_stands(client, node, clock) -> None:
    body = message("0", "1", "2").model_dump()
    answer = await client.post(URL, json=body, headers=TOKEN)
    standing = {"position": "2", "token": clock.time()}
    assert (answer.status_code, answer.json()) == (200, {"purged": 0, **standing})
    answer = await client.post(URL, json=message("7", "8").model_dump(), headers=TOKEN)
    assert (answer.status_code, answer.json()) == (409, standing)


@pytest.mark.parametrize(
    "by_hand",
    [
        {"tags": ["SITE-1"]},
        {"urls": ["http://a.example/"]},
        {"urls": ["http://a.example:80"]},
        {"prefixes": ["http://a.example"]},
        {"everything": True},
    ],
)
@pytest.mark.parametrize("soft", [False, True])
async def test_a_purge_by_hand(client, node, origin, by_hand, soft) -> None:
    origin.says(**KEEP)
    await client.get("/")
    answer = await client.post(URL, json={**by_hand, "soft": soft}, headers=TOKEN)
    assert answer.json() == {"purged": 1}
    assert node.quick(PAGE) is None
    assert len(node.cache) == (1 if soft else 0)
    assert node.purges.position is None


async def test_a_purge_that_the_disk_refuses_is_not_confirmed(client, node, monkeypatch) -> None:
    async def refuse(*_given, **_named) -> int:
        raise StorageError("the disk is full")

    monkeypatch.setattr(node.cache, "forget_unread", refuse)
    assert (await client.post(URL, json={"tags": ["a"]}, headers=TOKEN)).status_code == 503
    monkeypatch.setattr(node.cache, "purge", refuse)
    for body in ({"tags": ["a"]}, message("0", "1").model_dump()):
        assert (await client.post(URL, json=body, headers=TOKEN)).status_code == 503
    assert node.purges.position is None
