"""Freshness and age (RFC 9111 sections 4.2, 5.1, 5.2.2, 5.3; RFC 9213)."""

import pytest

from blackstart.cdn.fields.dates import format_date

HOUR = {"cache-control": "max-age=3600"}


@pytest.fixture
def date(clock):
    start = clock.now_s
    return lambda offset_s=0: format_date(start + offset_s)


@pytest.mark.parametrize(
    ("value", "reused"),
    [
        # 4.2.1, 5.2.2.1, 5.2.2.10
        ("max-age=3600", True),
        ("max-age=3", True),
        ("max-age=2", False),
        ("max-age=0", False),
        ("s-maxage=3600", True),
        ("s-maxage=3600, max-age=0", True),
        ("s-maxage=1, max-age=3600", False),
        ("MaX-aGe=3600", True),
        ("S-MaXaGe=3600", True),
        ("public, max-age=3600", True),
        ("foobar, max-age=3600", True),
        ("foobar=xyz, max-age=3600", True),
        ('ext="no-store, max-age=0", max-age=3600', True),
        # 1.2.2: very large numbers are very long
        ("max-age=2147483647", True),
        ("max-age=2147483648", True),
        ("max-age=99999999999999999999", True),
        ("max-age=0003600", True),
        # 5.2: both forms of an argument are taken
        ('max-age="3600"', True),
        # 4.2.1: what is no number makes it stale
        ("max-age=3600a", False),
        ("max-age=a3600", False),
        ("max-age=-3600", False),
        ("max-age=3600.0", False),
        ("max-age='3600'", False),
        ("max-age =3600", False),
        ("max-age= 3600", False),
        ("max-age", False),
        ("max-age=", False),
        # the first of two counts
        ("max-age=1, max-age=3600", False),
        ("max-age=3600, max-age=1", True),
        # a longer name is another name
        ("x-max-age=3600", False),
        ("max-age2=3600", False),
    ],
)
async def test_explicit_lifetime(is_reused, value, reused) -> None:
    assert await is_reused({"cache-control": value}) is reused


async def test_directives_may_come_on_several_lines(is_reused) -> None:
    assert await is_reused([("cache-control", "public"), ("cache-control", "max-age=3600")])
    assert not await is_reused([("cache-control", "max-age=3600"), ("cache-control", "no-store")])


async def test_expires_counts_from_date(is_reused, date) -> None:
    assert await is_reused({"expires": date(3600), "date": date()})
    assert await is_reused({"expires": date(3600)}), "without Date, from when it came"
    assert not await is_reused({"expires": date(1), "date": date()})
    assert not await is_reused({"expires": date(), "date": date()})
    assert not await is_reused({"expires": date(-10)})
    # A clock that is wrong at both ends is right between them (4.2.1).
    assert await is_reused({"expires": date(3600 - 1000), "date": date(-1000)})


@pytest.mark.parametrize("value", ["0", "", "-1", "tomorrow", "2050-01-01", "Mon, 99 Foo"])
async def test_an_invalid_expires_is_in_the_past(is_reused, date, value) -> None:
    """Section 5.3."""
    assert not await is_reused({"expires": value, "last-modified": date(-1_000_000)})


@pytest.mark.parametrize(
    ("text", "reused"),
    [
        ("Thu, 18 Aug 2050 02:01:18 GMT", True),
        ("THU, 18 AUG 2050 02:01:18 gmt", True),
        ("Thursday, 18-Aug-50 02:01:18 GMT", True),
        ("Thu Aug 18 02:01:18 2050", True),
        ("Thu, 18 Aug 2050 02:01:18 UTC", False),
        ("Thu, 18 Aug 2050 02:01:18 AEST", False),
        ("Thu, 18 Aug 2050 02:01:18 +0000", False),
        ("Thu, 18 Aug 2050 02:01:18", False),
        ("Thu, 18 Aug 50 02:01:18 GMT", False),
        ("Thu,18 Aug 2050 02:01:18 GMT", False),
        ("Thu, 18  Aug  2050  02:01:18  GMT", False),
        ("Thu, 18-Aug-2050 02:01:18 GMT", False),
        ("Thu, 18 Aug 2050 2:01:18 GMT", False),
        ("Thu, 18 Aug 2050 02:01 GMT", False),
        ("18 Aug 2050 02:01:18 GMT", False),
        ("Thu, 32 Aug 2050 02:01:18 GMT", False),
        ("Sunday, 06-Nov-94 08:49:37 GMT", False),
    ],
)
async def test_dates_are_read_as_the_rfc_says(is_reused, text, reused) -> None:
    """RFC 9110 section 5.6.7 and RFC 9111 section 4.2: three forms, GMT only, any case."""
    assert await is_reused({"expires": text}) is reused


async def test_max_age_is_stronger_than_expires(is_reused, date) -> None:
    """Section 5.3."""
    assert await is_reused({"cache-control": "max-age=3600", "expires": date(-3600)})
    assert not await is_reused({"cache-control": "max-age=0", "expires": date(3600)})
    assert await is_reused({"cache-control": "s-maxage=3600", "expires": date(-3600)})


async def test_two_different_expires_are_stale(is_reused, date) -> None:
    assert not await is_reused([("expires", date(3600)), ("expires", date(7200))])


@pytest.mark.parametrize(
    ("status", "reused"),
    [(s, True) for s in (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501)]
    + [(s, False) for s in (201, 202, 302, 303, 307, 400, 403, 418, 500, 502, 503, 599)],
)
async def test_a_heuristic_lifetime(is_reused, date, status, reused) -> None:
    """Section 4.2.2 and RFC 9110 section 15.1."""
    body = {"last-modified": date(-100_000), "date": date()}
    assert await is_reused(body, status=status) is reused


async def test_heuristics_want_a_modification_date(is_reused, date) -> None:
    assert not await is_reused({})
    assert not await is_reused({"last-modified": "yesterday"})
    assert not await is_reused({"last-modified": date()})
    assert await is_reused({"last-modified": date(-1000)}, after_s=99)
    assert not await is_reused({"last-modified": date(-1000)}, after_s=101)


async def test_public_makes_any_status_heuristic(is_reused, date) -> None:
    fields = {"last-modified": date(-100_000), "cache-control": "public"}
    assert await is_reused(fields, status=201)


@pytest.mark.parametrize(
    "status", [200, 201, 203, 302, 307, 299, 400, 403, 418, 499, 500, 503, 599]
)
async def test_an_explicit_lifetime_counts_for_every_final_status(is_reused, status) -> None:
    """Section 3."""
    assert await is_reused({"cache-control": "max-age=3600"}, status=status)


async def test_errors_are_not_kept_for_long(is_reused) -> None:
    """Bounded negative caching: stale sooner is always allowed."""
    assert await is_reused(HOUR, status=503, after_s=59)
    assert not await is_reused(HOUR, status=503, after_s=61)
    assert not await is_reused({"cache-control": "max-age=999999"}, status=404, after_s=3601)


@pytest.mark.parametrize(
    ("age", "reused"),
    [
        # 5.1: the first member; what is no number is ignored.
        (["0"], True),
        (["3000"], True),
        (["3600"], False),
        (["7200"], False),
        (["2147483648"], False),
        (["99999999999999999999"], False),
        (["7200, 0"], False),
        (["0, 7200"], True),
        (["0", "7200"], True),
        (["7200", "0"], False),
        (["abc"], True),
        (["-7200"], True),
        (["7200.0"], True),
        (["7200a"], True),
        (["a7200"], True),
        (["7200; foo=bar"], True),
        ([""], True),
    ],
)
async def test_age_counts(is_reused, age, reused) -> None:
    assert (
        await is_reused([("cache-control", "max-age=3600"), *[("age", a) for a in age]]) is reused
    )


async def test_an_old_date_counts_as_age(is_reused, date) -> None:
    """Section 4.2.3: the apparent age."""
    assert not await is_reused({**HOUR, "date": date(-7200)})
    assert await is_reused({**HOUR, "date": date(-1800)})
    assert await is_reused({**HOUR, "date": date(7200)}), "a date to come is no age"
    assert await is_reused({**HOUR, "date": "what"}), "an invalid one neither"
    assert not await is_reused({**HOUR, "date": date(-1800), "age": "3600"})


async def test_the_way_here_counts_as_age(bench, origin) -> None:
    async def slow() -> None:
        bench.clock.advance(5)

    bench.says(200, {"cache-control": "max-age=10"})
    origin.meanwhile = slow
    await bench.visit()
    origin.meanwhile = None
    assert (await bench.visit()).headers.get("age") == "5"
    bench.clock.advance(5)
    await bench.visit()
    assert bench.asked == 2


async def test_a_date_is_as_good_as_its_second(bench, date) -> None:
    """Section 4.2.3: what was made within this second has its whole lifetime before it."""
    bench.clock.advance(0.9)
    bench.says(200, {"cache-control": "max-age=1", "date": date()})
    await bench.visit()
    bench.clock.advance(0.9)
    assert (await bench.visit()).headers.get("age") == "0"
    bench.clock.advance(0.1)
    await bench.visit()
    assert bench.asked == 2


async def test_age_is_sent_with_what_was_stored_only(bench, date) -> None:
    bench.says(200, {**HOUR, "age": "100", "date": date()})
    first = await bench.visit()
    assert first.headers.all("age") == ["100"], "what upstream said"
    bench.clock.advance(10)
    assert (await bench.visit()).headers.all("age") == ["110"]


@pytest.mark.parametrize(
    ("targeted", "general", "reused"),
    [
        # RFC 9213 section 2.2: a valid targeted field hides Cache-Control.
        ("max-age=3600", "max-age=0", True),
        ("max-age=3600", "no-store", True),
        ("max-age=3600", "private", True),
        ("max-age=1", "max-age=3600", False),
        ("no-store", "max-age=3600", False),
        ("private", "max-age=3600", False),
        ("no-cache", "max-age=3600", False),
        ("s-maxage=3600", "no-store", True),
        ("max-age=3600, foo=bar", "no-store", True),
        ("max-age=3600;a=b", "no-store", True),
        # RFC 8941: keys are in lower case, and the last of two counts.
        ("MAX-AGE=3600", "max-age=3600", True),
        ("MAX-AGE=0", "max-age=3600", True),
        ("max-age=1, max-age=3600", "no-store", True),
        # What is malformed, or empty, is as if it were not there.
        ("", "max-age=3600", True),
        ("", "no-store", False),
        ("max-age=3600, =", "no-store", False),
        ("max-age=, x", "max-age=3600", True),
        ('"max-age=3600"', "max-age=3600", True),
        # A value of another type is no lifetime (section 2.1).
        ('max-age="3600"', "max-age=3600", False),
        ("max-age=3600.0", "max-age=3600", False),
        ("max-age=a3600", "max-age=3600", False),
        ("max-age=?0, s-maxage=3600", "no-store", True),
        ("max-age=10.5", "max-age=3600", False),
        ("max-age=-1", "max-age=3600", False),
        ("max-age", "max-age=3600", False),
    ],
)
async def test_the_targeted_field(is_reused, targeted, general, reused) -> None:
    fields = {"cdn-cache-control": targeted, "cache-control": general}
    assert await is_reused(fields) is reused


async def test_a_targeted_field_hides_expires(is_reused, date) -> None:
    assert not await is_reused({"cdn-cache-control": "public", "expires": date(3600)})


async def test_pragma_and_warning_mean_nothing(is_reused) -> None:
    """Sections 5.4 and 5.5."""
    assert await is_reused({**HOUR, "pragma": "no-cache"})
    assert await is_reused(HOUR, then={"pragma": "no-cache"})
    assert await is_reused({**HOUR, "warning": '110 - "stale"'})


async def test_immutable_is_no_lifetime(is_reused) -> None:
    """RFC 8246: it is for those who reload, which is no business of a shared cache."""
    assert not await is_reused({"cache-control": "immutable"})
    assert await is_reused({"cache-control": "immutable, max-age=3600"})
