"""A webhook that refuses, hangs and comes back, over real sockets: nothing waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from tests.guard.web.conftest import Serve, Site
from tests.guard.web.other_side import OtherSide

from blackstart.errors import HopError
from blackstart.guard.channel import Webhook
from blackstart.guard.requests import State


@asynccontextmanager
async def told_by(serve: Serve, other_side: OtherSide) -> AsyncIterator[Site]:
    more = {"guard_http_url": "https://guard.example.org", "guard_signing_secret": "secret"}
    async with serve(guard_webhook=other_side.url, **more) as site:
        yield site


async def everything_passes_and_one_write_is_held_and_decided(site: Site, schema: int) -> None:
    """What clients do while the channel is down; the write is decided over the wire."""
    async with site.client("bob") as bob:
        deploys = bob[site.database]["deploys"]
        assert len(await deploys.find({}).to_list()) == 20
        assert (await deploys.update_one({"_id": 1}, {"$inc": {"n": 1}})).modified_count == 1
        held = await site.held(schema=schema)
        assert site.book.get(held.number).state is State.HELD
        say = {"digest": held.digest, "reason": "agreed"}
        await bob.admin.command("guardApprove", held.number, **say)
        assert (await site.ended())[-1].modified_count == 5


async def test_a_webhook_that_refuses_and_hangs_stops_nothing_and_hears_all_when_it_is_back(
    serve: Serve, other_side: OtherSide
) -> None:
    async with told_by(serve, other_side) as site:
        await everything_passes_and_one_write_is_held_and_decided(site, 3)
        await other_side.begin(other_side.hang)
        await site.until(lambda: other_side.hanging > 0)
        await everything_passes_and_one_write_is_held_and_decided(site, 4)
        still = await site.held(schema=5)
        await other_side.begin(other_side.take)
        await site.until(lambda: len(other_side.posted) >= 5)
        first, approved, second, approved_again, last = other_side.texts()
        assert first.startswith("request 1: ada wants to run")
        assert approved == "request 1 approved by bob: agreed"
        assert second.startswith("request 2: ada") and "2 approved" in approved_again
        assert last.startswith("request 3: ada")
        assert site.book.get(still.number).state is State.HELD, "nobody decided: it waits"


async def test_the_buttons_are_where_something_can_still_be_decided(
    serve: Serve, other_side: OtherSide
) -> None:
    await other_side.begin(other_side.take)
    async with told_by(serve, other_side) as site:
        held = await site.held()
        await site.until(lambda: bool(other_side.posted))
        kinds = [block["type"] for block in other_side.posted[0]["blocks"]]
        assert kinds == ["section", "context", "input", "actions"]
        link = "<https://guard.example.org/requests/1|Request 1 on the guard's page>"
        assert link in other_side.posted[0]["text"]
        async with site.client("bob") as bob:
            await bob.admin.command("guardReject", held.number, reason="no")
        await site.until(lambda: len(other_side.posted) == 2)
        assert [block["type"] for block in other_side.posted[1]["blocks"]] == ["section", "context"]


async def test_an_answer_that_drips_without_end_is_none(other_side: OtherSide) -> None:
    for answers in (other_side.hang, other_side.drip):
        await other_side.begin(answers)
        async with httpx2.AsyncClient() as client:
            webhook = Webhook(other_side.url, client, timeout_s=0.2)
            with pytest.raises(HopError, match="gave no answer"):
                await webhook.post("x")
