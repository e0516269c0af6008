"""Words about held writes, said on the page: whose counts, whose does not, and what for."""

from __future__ import annotations

from typing import Any

from tests.guard.web.conftest import Site

from blackstart.guard.requests import State


async def test_a_reviewer_approves_on_the_page_and_the_write_runs_once(
    site: Site, store: Any
) -> None:
    held = await site.held(comment="schema 3")
    number = f"/requests/{held.number}"
    async with site.browser("bob") as browser:
        listed = await browser.text("/")
        assert number in listed and "Fields would be lost" in listed
        shown = await browser.text(number)
        for text in (
            "metadata.tree",
            "metadata.count",
            "5 of 20 (25.0 %)",
            held.digest,
            "schema 3",
        ):
            assert text in shown
        assert "&#34;count&#34;: 4" not in shown and "&#34;count&#34;: 2" in shown, "three samples"
        answer = await browser.say(held.number, "approve", reason="agreed")
        assert answer.headers["location"] == number
        (ended,) = await site.ended()
        assert ended.modified_count == 5
        after = await browser.text(number)
        assert "bob: agreed" in after and "blackstart snapshot restore snapshot-1" in after
        assert "Nothing waits for anybody." in await browser.text("/")
        assert number in await browser.text("/?all=1")
        again = await browser.post(f"{number}/approve", await browser.form(number))
        assert again.status_code == 409
    assert await store.database["deploys"].count_documents({"metadata.schema": 3}) == 5


async def test_a_rejected_write_never_runs_and_its_author_reads_why(site: Site, store: Any) -> None:
    held = await site.held()
    async with site.browser("bob") as browser:
        await browser.say(held.number, "reject", reason="it drops the\npointer")
    (ended,) = await site.ended()
    assert "it drops the pointer" in str(ended)
    assert await store.database["deploys"].count_documents({"metadata.schema": 3}) == 0


async def test_nobody_but_another_reviewer_decides(site: Site) -> None:
    held = await site.held()
    refusals = {"ada": "a write of their own", "ada2": "a write of their own"}
    for name, why in (refusals | {"eve": "not a reviewer"}).items():
        async with site.browser(name) as browser:
            shown = await browser.text(f"/requests/{held.number}")
            assert "/approve" not in shown and "/reject" not in shown and why in shown
            for word in ("approve", "reject"):
                answer = await browser.say(held.number, word, reason="fine", digest=held.digest)
                assert answer.status_code == 403 and why in answer.text
    assert site.book.get(held.number).state is State.HELD


async def test_nobody_but_the_author_withdraws_or_breaks_the_glass(site: Site) -> None:
    held = await site.held()
    for name, words in {"bob": ("withdraw", "break-glass"), "ada2": ("break-glass",)}.items():
        async with site.browser(name) as browser:
            shown = await browser.text(f"/requests/{held.number}")
            for word in words:
                assert f"/{word}" not in shown
                answer = await browser.say(held.number, word, reason="mine", alone="yes")
                assert answer.status_code == 403
    assert site.book.get(held.number).state is State.HELD
    async with site.browser("ada2") as browser:
        assert (await browser.say(held.number, "withdraw")).status_code == 303
    (ended,) = await site.ended()
    assert "withdrawn" in str(ended)


async def test_an_approval_is_for_what_the_page_showed(site: Site) -> None:
    held = await site.held()
    async with site.browser("bob") as browser:
        for digest in ("", "0" * 64):
            answer = await browser.say(held.number, "approve", reason="fine", digest=digest)
            assert answer.status_code == 409 and "another command" in answer.text
            assert ">fine</textarea>" in answer.text, "what was typed is not lost"
    assert site.book.get(held.number).state is State.HELD


async def test_who_comes_second_is_told_that_it_is_decided(site: Site) -> None:
    held = await site.held()
    async with site.browser("bob") as browser, site.browser("bob") as late:
        form = await late.form(f"/requests/{held.number}")
        await browser.say(held.number, "reject", reason="no")
        answer = await late.post(f"/requests/{held.number}/approve", form | {"reason": "yes"})
        assert answer.status_code == 409 and "rejected and cannot become approved" in answer.text
    assert site.book.get(held.number).state is State.REJECTED


async def test_a_decision_needs_a_reason(site: Site) -> None:
    held = await site.held()
    async with site.browser("bob") as browser:
        for reason in ("", " \n ", "x" * 2_001):
            for word in ("approve", "reject"):
                assert (await browser.say(held.number, word, reason=reason)).status_code == 400
    assert site.book.get(held.number).state is State.HELD


async def test_broken_glass_stays_in_the_list_until_somebody_else_has_looked(
    site: Site, store: Any
) -> None:
    held = await site.held()
    async with site.browser("ada") as author, site.browser("bob") as reviewer:
        by_accident = await author.say(held.number, "break-glass", reason="it burns")
        assert by_accident.status_code == 400
        await author.say(held.number, "break-glass", reason="it burns", alone="yes")
        (ended,) = await site.ended()
        assert ended.modified_count == 5
        assert "glass broken" in await reviewer.text("/")
        assert (await author.say(held.number, "review", reason="fine")).status_code == 403
        assert "/review" in await reviewer.text(f"/requests/{held.number}")
        await reviewer.say(held.number, "review", reason="it was right")
        assert "Nothing waits for anybody." in await reviewer.text("/")
        assert "it was right" in await author.text(f"/requests/{held.number}")
        told = await author.text("/channel")
        assert "the glass is broken" in told and "looked at afterwards" in told


async def test_a_page_moves_unless_somebody_types_or_wants_it_still(site: Site) -> None:
    held = await site.held()
    async with site.browser("bob") as reviewer, site.browser("eve") as onlooker:
        number = f"/requests/{held.number}"
        for path, browser, moves in (
            ("/", reviewer, True),
            ("/?still=1", reviewer, False),
            ("/channel", reviewer, True),
            (number, reviewer, False),
            (number, onlooker, True),
            (f"{number}?still=1", onlooker, False),
        ):
            assert ('http-equiv="refresh"' in await browser.text(path)) is moves, path
