"""Tests of the log of purges, in MongoDB and in memory alike."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from blackstart.model.purge import BEGINNING, What
from blackstart.store import MetadataStore
from blackstart.store.purges import STEPS, PurgeLog, PurgeLogInMemory, PurgeLogInMongo

AT = datetime(2017, 2, 2, 1, 46, 40, tzinfo=UTC)
WHAT = What(tags=("site-1", "deploy-2"), urls=("http://a.example/",), soft=True)


@pytest.fixture(params=["memory", "mongodb"])
def log(request: pytest.FixtureRequest, store: MetadataStore) -> PurgeLog:
    if request.param == "memory":
        return PurgeLogInMemory(kept=5)
    return PurgeLogInMongo(store.database["purges"], kept=5)


async def test_orders_come_back_as_they_were_given(log: PurgeLog) -> None:
    order = await log.append(WHAT, "a", AT)
    assert (order.generation, order.position, order.after) == (1, "1-a", BEGINNING)
    assert await log.latest(1) == await log.since(BEGINNING) == [order]
    assert await log.since("1-a") == []
    assert order.what == WHAT


async def test_an_empty_log_knows_the_beginning_only(log: PurgeLog) -> None:
    assert await log.latest(1) == []
    assert await log.since(BEGINNING) == []
    assert await log.since("1-a") is None


async def test_who_appends_at_once_makes_no_gap(log: PurgeLog) -> None:
    await asyncio.gather(*(log.append(WHAT, f"m{number}", AT) for number in range(5)))
    orders = await log.latest(9)
    assert [order.generation for order in orders] == [1, 2, 3, 4, 5]
    assert [order.after for order in orders[1:]] == [order.position for order in orders[:-1]]


async def test_only_the_newest_are_kept_and_who_lacks_more_is_told_so(log: PurgeLog) -> None:
    orders = [await log.append(WHAT, "m", AT) for _ in range(8)]
    assert await log.latest(9) == orders[3:]
    assert await log.since("4-m") == orders[4:]
    assert await log.since("3-m") == orders[3:]
    assert await log.since("2-m") is None
    assert await log.since(BEGINNING) is None


@pytest.mark.parametrize("position", ["1-other", "2-m", "", "x", "-", "9" * 40])
async def test_a_position_of_another_log_is_not_known(log: PurgeLog, position: str) -> None:
    await log.append(WHAT, "m", AT)
    assert await log.since(position) is None


async def test_a_long_log_is_read_to_its_end(store: MetadataStore) -> None:
    log = PurgeLogInMongo(store.database["purges"])
    orders = [await log.append(WHAT, "m", AT) for _ in range(STEPS + 20)]
    assert await log.since(BEGINNING) == orders
    assert await log.since("3-m") == orders[3:]


async def test_a_log_that_went_back_is_followed(store: MetadataStore) -> None:
    log = PurgeLogInMongo(store.database["purges"])
    orders = [await log.append(WHAT, "m", AT) for _ in range(5)]
    await store.database["purges"].delete_many({"_id": {"$gt": 3}})
    assert await log.latest(1) == orders[2:3]
    assert (await log.append(WHAT, "other", AT)).position == "4-other"
    assert await log.since("5-m") is None
    await store.database["purges"].delete_many({})
    assert (await log.append(WHAT, "other", AT)).position == "1-other"
