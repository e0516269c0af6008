"""Logging in to the page: with a login's password, not too often, and not for ever."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx2
import pytest
from tests.conftest import ManualClock
from tests.guard.web.conftest import PASSWORD, Browser, Serve, Site

from blackstart.errors import RateLimitedError
from blackstart.guard.guardroom import Places
from blackstart.guard.logins import Logins, Role
from blackstart.guard.web.entry import our_path
from blackstart.guard.web.tries import TRIES, Tries
from blackstart.guard.web.visits import LIFE_S, MAX_VISITS, Visits
from blackstart.seed import Seed


async def test_a_login_of_the_guard_opens_the_page_it_was_meant_for(site: Site) -> None:
    async with site.browser() as browser:
        sent = await browser.get("/channel")
        assert (sent.status_code, sent.headers["location"]) == (303, "/login?next=%2Fchannel")
        assert (await browser.form("/login?next=%2Fchannel"))["next"] == "/channel"
        answer = await browser.log_in("bob", next="/channel")
        assert answer.headers["location"] == "/channel"
        assert "Channel" in await browser.text("/channel")
        assert (await browser.get("/login")).headers["location"] == "/"


async def test_a_wrong_password_and_a_name_that_nobody_has_are_told_the_same(site: Site) -> None:
    wrong = "wrong horse battery"
    async with site.browser() as browser:
        for name, password in (("bob", wrong), ("nobody", PASSWORD), ("bob", ""), ("bob", "\x00")):
            refused = await browser.log_in(name, password)
            assert refused.status_code == 401 and "wrong name or password" in refused.text
            assert "set-cookie" not in refused.headers
            assert (await browser.get("/")).status_code == 303


async def test_a_program_of_the_platform_has_no_page(site: Site) -> None:
    async with site.browser() as browser:
        refused = await browser.log_in("control")
        assert refused.status_code == 401 and "set-cookie" not in refused.headers


async def test_nobody_sees_a_page_without_a_visit(site: Site) -> None:
    held = await site.held()
    async with site.browser() as browser:
        for path in ("/", "/?all=1", "/channel", f"/requests/{held.number}"):
            for cookie in ("", "guard=", "guard=guessed", "__Host-guard=guessed"):
                sent = await browser.get(path, cookie=cookie)
                assert sent.status_code == 303 and sent.text == ""
                assert sent.headers["location"].startswith("/login?next=")
        refused = await browser.post(f"/requests/{held.number}/approve", {"reason": "fine"})
        assert refused.status_code == 401


async def test_the_cookie_is_kept_from_scripts_and_other_sites(site: Site) -> None:
    async with site.browser() as browser:
        kept = [(await browser.log_in("bob")).headers["set-cookie"] for _ in range(2)]
    for cookie in kept:
        _, *marks = cookie.lower().split("; ")
        assert {"httponly", "samesite=strict", "path=/", f"max-age={LIFE_S}"} <= set(marks)
    assert kept[0].split(";")[0] != kept[1].split(";")[0]


async def test_under_tls_the_cookie_goes_nowhere_else(serve: Serve, certificate: Path) -> None:
    trust = ssl.create_default_context(cafile=str(certificate))
    async with serve(guard_tls_cert=certificate) as site:
        assert site.url.startswith("https://")
        async with httpx2.AsyncClient(base_url=site.url, verify=trust) as client:
            browser = Browser(client)
            cookie = (await browser.log_in("bob")).headers["set-cookie"]
            assert cookie.startswith("__Host-guard=") and "; secure" in cookie.lower()
            assert "Open requests" in await browser.text("/")


async def test_whoever_logs_out_is_out_and_so_is_a_stolen_cookie(site: Site) -> None:
    async with site.browser("bob") as browser:
        stolen = str(browser.http.cookies["guard"])
        assert (await browser.post("/logout", {})).status_code == 400
        assert (await browser.get("/")).status_code == 200
        out = await browser.post("/logout", await browser.form("/"))
        assert out.headers["location"] == "/login"
        assert (await browser.get("/")).status_code == 303
        assert (await browser.get("/", cookie=f"guard={stolen}")).status_code == 303


async def test_a_login_that_is_removed_is_out_at_once(site: Site) -> None:
    logins = Logins(Places(site.folder).logins)
    async with site.browser("eve") as browser:
        assert (await browser.get("/")).status_code == 200
        logins.remove("eve")
        assert (await browser.get("/")).status_code == 303
        logins.add("eve", PASSWORD, roles=[Role.REVIEWER])
        assert (await browser.get("/")).status_code == 303, "a new login is another one"


async def test_passwords_are_not_tried_without_end(site: Site) -> None:
    async with site.browser() as browser:
        # A minute may end in between, and only once: one half of the tries is too many.
        answers = [await browser.log_in("bob", "wrong horse battery") for _ in range(2 * TRIES + 1)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert refused and int(refused[0].headers["retry-after"]) >= 1
        assert answers[0].status_code == 401


def test_tries_are_counted_by_address_and_by_name(manual_clock: ManualClock) -> None:
    tries = Tries(manual_clock, 2)
    for name in ("ada", "bob"):
        tries.take("192.0.2.1", name)
    with pytest.raises(RateLimitedError) as refused:
        tries.take("192.0.2.1", "kim")
    tries.take("192.0.2.2", "ada")
    with pytest.raises(RateLimitedError):
        tries.take("192.0.2.3", "ada")
    manual_clock.advance(refused.value.retry_after_s)
    tries.take("192.0.2.1", "ada")


@pytest.fixture
def visits(tmp_path: Path, manual_clock: ManualClock) -> Visits:
    logins = Logins(tmp_path / "logins.json")
    logins.add("ada", PASSWORD)
    return Visits(logins, manual_clock, Seed.from_entropy())


def test_a_visit_ends_after_a_working_day(
    visits: Visits, tmp_path: Path, manual_clock: ManualClock
) -> None:
    login = Logins(tmp_path / "logins.json").find("ada")
    assert login is not None
    secret = visits.begin(login)
    manual_clock.advance(LIFE_S - 1)
    found = visits.find(secret)
    assert found is not None and found.login == login
    assert visits.find(secret[:-1]) is None
    manual_clock.advance(1)
    assert visits.find(secret) is None
    manual_clock.now_s -= LIFE_S
    assert visits.find(secret) is None, "an end is an end"


def test_visits_do_not_fill_the_memory(visits: Visits, tmp_path: Path) -> None:
    login = Logins(tmp_path / "logins.json").find("ada")
    assert login is not None
    secrets = [visits.begin(login) for _ in range(MAX_VISITS + 1)]
    assert visits.find(secrets[0]) is None
    assert visits.find(secrets[1]) is not None and visits.find(secrets[-1]) is not None


@pytest.mark.parametrize("path", ["/", "/?all=1", "/channel", "/requests/12"])
def test_the_log_in_leads_back_to_every_page(path: str) -> None:
    assert our_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *("", "//evil.test", "/\\evil.test", "https://evil.test/", "javascript:alert(1)"),
        *("/logout", "/requests/1/approve", "/requests/1\n", "/channel?x=1", "/requests/\u0661"),
    ],
)
def test_the_log_in_leads_nowhere_else(path: str) -> None:
    assert our_path(path) == "/"


async def test_who_comes_by_a_link_of_another_site_is_led_on_with_the_cookie(site: Site) -> None:
    """A browser keeps a strict cookie back from such a request, and sends it with the next."""
    async with site.browser("bob") as browser, site.browser() as from_elsewhere:
        led = await from_elsewhere.get("/channel", **{"sec-fetch-site": "cross-site"})
        assert led.status_code == 200 and 'content="0; url=/channel"' in led.text
        own = {"sec-fetch-site": "same-origin"}
        assert (await from_elsewhere.get("/channel", **own)).status_code == 303
        assert "Channel" in (await browser.get("/channel", **own)).text


async def test_entering_and_failing_to_is_on_record(site: Site) -> None:
    async with site.browser("bob") as browser:
        await browser.log_in("bob", "wrong horse battery")
    await site.until(lambda: "page.refused" in _audit(site))
    assert '"page.entered"' in _audit(site)
    assert "horse battery" not in _audit(site)


def _audit(site: Site) -> str:
    paths = [path for path in Places(site.folder).audit.rglob("*") if path.is_file()]
    return "".join(path.read_text(errors="replace") for path in paths)
