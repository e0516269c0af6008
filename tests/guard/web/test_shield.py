"""What stands around every page: other sites' forms, scripts in values, and bodies without end."""

from __future__ import annotations

import asyncio

import pytest
from tests.guard.web.conftest import PASSWORD, Serve, Site

from blackstart.guard.requests import State
from blackstart.guard.web.bodies import FORM_BYTES
from blackstart.guard.web.rendering import visible

SCRIPT = "<script>alert(1)</script>"
REVERSED = "\u202egnirts\u202c"


async def test_every_answer_forbids_scripts_and_frames(site: Site) -> None:
    held = await site.held()
    shown = ["/", "/?all=1", "/login", "/channel", f"/requests/{held.number}"]
    async with site.browser("bob") as browser:
        for path in [*shown, "/requests/99", "/nowhere", "/style.css", "/healthz"]:
            answer = await browser.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
            assert "script-src" not in policy and "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "<script" not in answer.text and "<style" not in answer.text
            kept = answer.headers["cache-control"]
            assert kept == ("max-age=300" if path == "/style.css" else "no-store")


async def test_a_form_that_another_site_sends_decides_nothing(site: Site) -> None:
    held = await site.held()
    elsewhere: list[dict[str, str]] = [
        {},
        {"referer": "http://evil.test/"},
        *({"origin": each} for each in ("", "null", "http://evil.test", "https://127.0.0.1")),
        {"origin": site.url.replace("http:", "https:")},
    ]
    async with site.browser("bob") as browser:
        form = await browser.form(f"/requests/{held.number}") | {"reason": "fine"}
        for fields in elsewhere:
            refused = await browser.post(f"/requests/{held.number}/approve", form, fields)
            assert refused.status_code == 403, fields
            refused = await browser.post("/login", {"name": "bob", "password": PASSWORD}, fields)
            assert refused.status_code == 403, fields
    assert site.book.get(held.number).state is State.HELD


async def test_the_address_behind_a_proxy_is_an_origin_of_the_page(serve: Serve) -> None:
    url = "https://guard.example.org"
    async with serve(guard_http_url=f"{url}/") as site, site.browser() as browser:
        form = {"name": "bob", "password": PASSWORD}
        entered = await browser.post("/login", form, {"origin": url})
        assert entered.status_code == 303 and "__Host-guard" in entered.headers["set-cookie"]


async def test_a_form_without_the_visits_own_token_decides_nothing(site: Site) -> None:
    held = await site.held()
    async with site.browser("bob") as browser, site.browser("bob") as other:
        form = await browser.form(f"/requests/{held.number}") | {"reason": "fine"}
        del form["token"]
        others = (await other.form("/"))["token"]
        for token in ({}, {"token": ""}, {"token": "guessed"}, {"token": others}):
            for word in ("approve", "reject", "review"):
                refused = await browser.post(f"/requests/{held.number}/{word}", form | token)
                assert refused.status_code == 400
                assert "not from a page of this visit" in refused.text
    assert site.book.get(held.number).state is State.HELD


async def test_nothing_is_decided_by_following_a_link(site: Site) -> None:
    held = await site.held()
    async with site.browser("bob") as browser:
        form = await browser.form(f"/requests/{held.number}")
        query = f"token={form['token']}&digest={held.digest}&reason=fine"
        assert (await browser.get(f"/requests/{held.number}/approve?{query}")).status_code == 405
    assert site.book.get(held.number).state is State.HELD


async def test_what_a_command_says_is_text_and_all_of_it_is_seen(site: Site) -> None:
    held = await site.held(
        schema={f'"><img src=x onerror=alert(1)>{SCRIPT}': f"{SCRIPT}'\"&{REVERSED}"},
        comment=f"{SCRIPT} {{{{ 7 * 7 }}}} {REVERSED}",
    )
    async with site.browser("bob") as browser:
        await browser.say(held.number, "reject", reason=f"no {SCRIPT} {REVERSED}")
        for path in (f"/requests/{held.number}", "/?all=1", "/channel"):
            shown = await browser.text(path)
            assert "<script" not in shown and "<img" not in shown
            assert "\u202e" not in shown
        shown = await browser.text(f"/requests/{held.number}")
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{ 7 * 7 }} \\u202egnirts\\u202c" in shown
    assert "no &lt;script&gt;" in shown


async def test_a_name_that_is_tried_is_text_too(site: Site) -> None:
    async with site.browser() as browser:
        refused = await browser.log_in(f'"{SCRIPT}', next=f'"{SCRIPT}')
        assert "<script" not in refused.text and 'value="&#34;&lt;script' in refused.text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, ä, 漢, 👍", "plain, ä, 漢, 👍"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u200bb\ufeff", "a\\u200bb\\ufeff"),
        ("\x1b[31m\x00\r\t", "\\u001b[31m\\u0000\\u000d\\u0009"),
        ("two\nlines", "two\nlines"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_characters_that_show_nothing_are_shown(text: str, seen: str) -> None:
    assert visible(text) == seen


async def test_bodies_are_bounded_and_forms_are_forms(site: Site) -> None:
    async with site.browser() as browser:
        huge = await browser.log_in("bob", "x" * (FORM_BYTES + 1))
        assert huge.status_code == 413
        own = {"origin": site.url}
        for body, kind in (
            (b"name=bob", "text/plain"),
            (b"{}", "application/json"),
            (b"name=a&name=b", "application/x-www-form-urlencoded"),
            (b"name=%ff", "application/x-www-form-urlencoded"),
            (b"a&b&c&d" * 20, "application/x-www-form-urlencoded"),
        ):
            fields = own | {"content-type": kind}
            refused = await browser.http.post("/login", content=body, headers=fields)
            assert refused.status_code == 400, body


async def test_what_names_no_request_is_not_found(site: Site) -> None:
    async with site.browser("bob") as browser:
        for number in ("0", "99", "-1", "1.0", "9" * 5_000, "\u0661", "1%00", "x"):
            assert (await browser.get(f"/requests/{number}")).status_code == 404, number
        held = await site.held()
        form = await browser.form(f"/requests/{held.number}")
        refused = await browser.post(f"/requests/{held.number}/execute", form)
        assert refused.status_code == 404


async def test_a_client_that_leaves_in_the_middle_of_a_form_breaks_nothing(site: Site) -> None:
    host, port = site.url.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /login HTTP/1.1\r\nHost: {host}:{port}\r\nOrigin: {site.url}\r\n"
    writer.write(head.encode() + b"Content-Length: 100\r\n\r\nname=")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    async with site.browser("bob") as browser:
        assert "Nothing waits" in await browser.text("/")
        assert "guard" in await browser.text("/metrics")


async def test_probes_answer_to_everybody(site: Site) -> None:
    async with site.browser() as browser:
        for path in ("/healthz", "/readyz"):
            assert (await browser.get(path)).json() == {"status": "ok"}
        counted = await browser.text("/metrics")
    assert 'route="/readyz",service="guard",status="200"' in counted
