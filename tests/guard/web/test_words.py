"""Words about held writes, said on the page: whose counts, whose does not, and what for."""

from __future__ import annotations

from typing import Any

import pytest
from tests.guard.web.conftest import Site

from blackstart.guard.requests import State


async def test_a_reviewer_approves_on_the_page_and_the_write_runs_once(
    site: Site, store: Any
) -> None:
    held = await site.held()
    async with site.browser("bob") as browser:
        listed = await browser.text("/")
        assert f"/requests/{held.number}" in listed and "Fields would be lost" in listed
        shown = await browser.text(f"/requests/{held.number}")
        for text in ("metadata.tree", "metadata.count", "5 of 20 (25.0 %)", held.digest, "ada"):
            assert text in shown
        answer = await browser.say(held.number, "approve", reason="agreed")
        assert answer.headers["location"] == f"/requests/{held.number}"
        (ended,) = await site.ended()
        assert ended.modified_count == 5
        after = await browser.text(f"/requests/{held.number}")
        assert "bob: agreed" in after and "blackstart snapshot restore snapshot-1" in after
        assert "Nothing waits for anybody." in await browser.text("/")
        assert f"/requests/{held.number}" in await browser.text("/?all=1")
    assert await store.database["deploys"].count_documents({"metadata.schema": 3}) == 5


async def test_a_rejected_write_never_runs_and_its_author_reads_why(site: Site, store: Any) -> None:
    held = await site.held()
    async with site.browser("bob") as browser:
        await browser.say(held.number, "reject", reason="it drops the\npointer")
    (ended,) = await site.ended()
    assert "it drops the pointer" in str(ended)
    assert await store.database["deploys"].count_documents({"metadata.schema": 3}) == 0


@pytest.mark.parametrize(
    ("name", "why"),
    [("ada", "a write of their own"), ("ada2", "a write of their own"), ("eve", "not a reviewer")],
)
async def test_nobody_but_another_reviewer_approves(site: Site, name: str, why: str) -> None:
    held = await site.held()
    async with site.browser(name) as browser:
        shown = await browser.text(f"/requests/{held.number}")
        assert "/approve" not in shown and why in shown
        answer = await browser.say(held.number, "approve", reason="fine", digest=held.digest)
        assert answer.status_code == 403 and why in answer.text
    assert site.book.get(held.number).state is State.HELD
