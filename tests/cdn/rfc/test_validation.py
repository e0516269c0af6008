"""Validation, and what a 304 or a HEAD changes (RFC 9111 sections 3.2, 4.3; RFC 9110, 13)."""

import pytest

from blackstart.cdn.message import Headers, Response

STALE = {"cache-control": "max-age=1"}
MODIFIED = "Wed, 01 Feb 2017 00:00:00 GMT"


async def stale_page(bench, **fields: str) -> None:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    bench.says(200, {**STALE, **named})
    await bench.visit()
    bench.clock.advance(2)


async def test_both_validators_are_sent(bench) -> None:
    """Section 4.3.1."""
    await stale_page(bench, etag='"1"', last_modified=MODIFIED)
    await bench.visit({"if-none-match": '"other"', "range": "bytes=0-1"})
    asked = bench.origin.requests[-1].headers
    assert asked.all("if-none-match") == ['"1"']
    assert asked.all("if-modified-since") == [MODIFIED]
    assert "range" not in asked


async def test_without_validators_the_page_is_asked_for(bench) -> None:
    await stale_page(bench)
    await bench.visit()
    asked = bench.origin.requests[-1].headers
    assert not asked.has_any({"if-none-match", "if-modified-since"})


@pytest.mark.parametrize(
    ("stored", "answered"),
    [
        ({"etag": '"1"'}, {"etag": '"1"'}),
        ({"etag": '"1"'}, {}),
        ({"etag": 'W/"1"'}, {"etag": 'W/"1"'}),
        ({"etag": '"1"'}, {"etag": 'W/"1"'}),
        ({"etag": "1"}, {"etag": "1"}),
        ({"last-modified": MODIFIED}, {"last-modified": MODIFIED}),
        ({"last-modified": MODIFIED}, {}),
        # A tag that the stored one lacked, beside the date that it was asked for by.
        ({"last-modified": MODIFIED}, {"last-modified": MODIFIED, "etag": '"new"'}),
    ],
)
async def test_a_304_makes_it_fresh_again(bench, stored, answered) -> None:
    """Section 4.3.4."""
    bench.says(200, {**STALE, **stored})
    await bench.visit()
    bench.clock.advance(2)
    bench.says(304, {"cache-control": "max-age=100", **answered}, b"")
    assert (await bench.visit()).body == b"page"
    bench.clock.advance(99)
    response = await bench.visit()
    assert (response.status, response.body, bench.asked) == (200, b"page", 2)
    assert response.headers.get("age") == "99"


@pytest.mark.parametrize("stored", [{"etag": '"1"'}, {"last_modified": MODIFIED}])
async def test_a_304_about_another_version_confirms_nothing(bench, stored) -> None:
    await stale_page(bench, **stored)
    answers = iter([Response(304, Headers([("etag", '"2"')]))])
    newer = Response(200, Headers([("etag", '"2"')]), b"newer")
    bench.origin.answer = lambda request: next(answers, newer)
    assert (await bench.visit()).body == b"newer"
    assert "if-none-match" not in bench.origin.requests[-1].headers


@pytest.mark.parametrize(("etag", "both"), [('"1"', True), ('W/"1"', False)])
async def test_a_304_is_about_all_variants_with_its_strong_tag(bench, etag, both) -> None:
    for language in ("de", "fr"):
        bench.says(200, {**STALE, "etag": etag, "vary": "accept-language"}, language.encode())
        await bench.visit({"accept-language": language})
    bench.clock.advance(2)
    bench.says(304, {"cache-control": "max-age=100", "etag": etag, "vary": "accept-language"}, b"")
    for language in ("de", "fr"):
        assert (await bench.visit({"accept-language": language})).body == language.encode()
    assert bench.asked == (3 if both else 4)


async def test_a_304_updates_the_stored_fields(bench) -> None:
    """Section 3.2: all but Content-Length, Content-Range and what belongs to one connection."""
    bench.says(
        200,
        [
            *STALE.items(),
            ("etag", '"1"'),
            ("x-kept", "1"),
            ("x-new", "1"),
            ("x-many", "1"),
            ("x-many", "2"),
            ("content-type", "text/plain"),
        ],
    )
    await bench.visit()
    bench.clock.advance(2)
    answer = [
        ("cache-control", "max-age=100"),
        ("etag", '"1"'),
        ("x-new", "2"),
        ("x-many", "3"),
        ("x-more", "4"),
        ("content-type", "text/html"),
        ("content-length", "99"),
        ("content-range", "bytes 0-0/99"),
        ("connection", "x-listed"),
        ("x-listed", "5"),
    ]
    bench.says(304, answer, b"")
    for _ in range(2):
        response = await bench.visit()
        assert {n: response.headers.all(n) for n in ("x-kept", "x-new", "x-many", "x-more")} == {
            "x-kept": ["1"],
            "x-new": ["2"],
            "x-many": ["3"],
            "x-more": ["4"],
        }
        assert response.headers.get("content-type") == "text/html"
        assert response.headers.all("content-length") == ["4"]
        assert not response.headers.has_any({"x-listed", "content-range"})
        assert response.body == b"page"
    assert bench.asked == 2


async def test_a_304_that_forbids_storing_ends_the_stored_copy(bench) -> None:
    await stale_page(bench, etag='"1"')
    bench.says(304, {"cache-control": "no-store"}, b"")
    assert (await bench.visit()).body == b"page"
    bench.says(200, {"cache-control": "no-store"}, b"newer")
    assert (await bench.visit()).body == b"newer"


async def test_no_cache_is_stored_and_confirmed_each_time(bench) -> None:
    """Section 5.2.2.4."""
    bench.says(200, {"cache-control": "no-cache, max-age=100", "etag": '"1"'})
    await bench.visit()
    bench.says(304, {}, b"")
    for count in (2, 3):
        assert (await bench.visit()).body == b"page"
        assert bench.asked == count
        assert bench.origin.requests[-1].headers.get("if-none-match") == '"1"'


async def test_a_visitor_s_no_cache_confirms_a_fresh_page(bench) -> None:
    bench.says(200, {"cache-control": "max-age=100", "etag": '"1"'})
    await bench.visit()
    bench.says(304, {}, b"")
    assert (await bench.visit({"cache-control": "no-cache"})).body == b"page"
    assert bench.asked == 2


RELOAD = {"cache-control": "no-cache", "pragma": "no-cache"}


@pytest.mark.parametrize(
    ("fields", "status", "body"),
    [
        ({"if-none-match": '"1"'}, 304, b""),
        ({"if-none-match": '"2"'}, 200, b"page"),
        ({"if-modified-since": "Wed, 02 Feb 2022 00:00:00 GMT"}, 304, b""),
        ({"if-range": '"1"', "range": "bytes=0-1"}, 206, b"pa"),
    ],
)
async def test_a_no_cache_that_fetch_adds_is_nobody_s_wish(bench, fields, status, body) -> None:
    """Fetch standard, HTTP-network-or-cache fetch: to get by the browser's cache."""
    bench.says(200, {"cache-control": "max-age=100", "etag": '"1"'})
    await bench.visit()
    response = await bench.visit({**RELOAD, **fields})
    assert (response.status, response.body, bench.asked) == (status, body, 1)


@pytest.mark.parametrize(
    "fields",
    [
        RELOAD,
        {**RELOAD, "range": "bytes=0-1"},
        {**RELOAD, "if-none-match": '"1"', "cache-control": "no-cache, no-store"},
        {**RELOAD, "if-none-match": '"1"', "pragma": "x"},
        {"cache-control": "no-cache", "if-none-match": '"1"'},
    ],
)
async def test_any_other_no_cache_is_a_wish(bench, fields) -> None:
    bench.says(200, {"cache-control": "max-age=100", "etag": '"1"'})
    await bench.visit()
    bench.says(304, {}, b"")
    await bench.visit(fields)
    assert bench.asked == 2


async def test_a_full_answer_takes_the_stored_one_s_place(bench) -> None:
    await stale_page(bench, etag='"1"')
    bench.says(200, {"cache-control": "max-age=100", "etag": '"2"'}, b"newer")
    assert (await bench.visit()).body == b"newer"
    assert (await bench.visit()).body == b"newer"
    assert bench.asked == 2


async def test_an_error_is_not_stored_over_a_page_that_may_cover_for_it(bench) -> None:
    await stale_page(bench, etag='"1"')
    bench.says(503, {"cache-control": "max-age=100"}, b"sorry")
    assert (await bench.visit()).body == b"page"
    bench.says(200, {"cache-control": "max-age=100"}, b"newer")
    assert (await bench.visit()).body == b"newer"


# A visitor's own conditions (section 4.3.2, RFC 9110 section 13)


@pytest.mark.parametrize(
    ("etag", "asked", "status"),
    [
        ('"1"', '"1"', 304),
        ('"1"', '"2"', 200),
        ('"1"', '"2", "1"', 304),
        ('"1"', '"2","1"', 304),
        ('"1"', 'W/"1"', 304),
        ('W/"1"', '"1"', 304),
        ('W/"1"', 'W/"1"', 304),
        ('"1"', "*", 304),
        ('"a,b"', '"a,b"', 304),
        ('"1"', "1", 200),
        ("1", "1", 304),
        ('"1"', '"1', 200),
        ('"1"', 'w/"1"', 200),
        ('"1"', 'x"1", "2"', 200),
        ('"1"', '\t"2" ,\t"1"', 304),
        ('"1"', "", 200),
    ],
)
async def test_if_none_match(bench, etag, asked, status) -> None:
    bench.says(200, {"cache-control": "max-age=100", "etag": etag})
    await bench.visit()
    response = await bench.visit({"if-none-match": asked})
    assert (response.status, bench.asked) == (status, 1)
    assert response.body == (b"" if status == 304 else b"page")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (MODIFIED, 304),
        ("Wed, 01 Feb 2017 00:00:01 GMT", 304),
        ("Tue, 31 Jan 2017 23:59:59 GMT", 200),
        ("Wednesday, 01-Feb-17 00:00:00 GMT", 304),
        ("what", 200),
    ],
)
async def test_if_modified_since(bench, asked, status) -> None:
    bench.says(200, {"cache-control": "max-age=100", "last-modified": MODIFIED})
    await bench.visit()
    response = await bench.visit({"if-modified-since": asked})
    assert (response.status, bench.asked) == (status, 1)


async def test_two_dates_are_no_date(bench) -> None:
    """RFC 9110 section 13.1.3."""
    bench.says(200, {"cache-control": "max-age=100", "last-modified": MODIFIED})
    await bench.visit()
    twice = [("if-modified-since", MODIFIED), ("if-modified-since", MODIFIED)]
    assert (await bench.visit(twice)).status == 200


async def test_if_none_match_is_stronger_than_a_date(bench) -> None:
    """RFC 9110 section 13.1.3."""
    bench.says(200, {"cache-control": "max-age=100", "last-modified": MODIFIED, "etag": '"1"'})
    await bench.visit()
    fields = {"if-none-match": '"2"', "if-modified-since": MODIFIED}
    assert (await bench.visit(fields)).status == 200
    fields = {"if-none-match": '"1"', "if-modified-since": "Tue, 31 Jan 2017 23:59:59 GMT"}
    assert (await bench.visit(fields)).status == 304


async def test_without_a_modification_date_the_response_s_own_counts(bench) -> None:
    """Section 4.3.2."""
    bench.says(200, {"cache-control": "max-age=100", "date": "Thu, 02 Feb 2017 01:46:40 GMT"})
    await bench.visit()
    later = {"if-modified-since": "Thu, 02 Feb 2017 01:46:40 GMT"}
    assert (await bench.visit(later)).status == 304
    earlier = {"if-modified-since": "Thu, 02 Feb 2017 01:46:39 GMT"}
    assert (await bench.visit(earlier)).status == 200


async def test_a_304_has_what_a_304_must_have(bench) -> None:
    """RFC 9110 section 15.4.5."""
    fields = {
        "cache-control": "max-age=100",
        "etag": '"1"',
        "content-location": "/x",
        "vary": "foo",
        "expires": "x",
        "content-type": "text/html",
        "last-modified": MODIFIED,
    }
    bench.says(200, fields)
    await bench.visit()
    response = await bench.visit({"if-none-match": '"1"'})
    for name in ("cache-control", "content-location", "date", "etag", "expires", "vary"):
        assert name in response.headers
    assert "content-type" not in response.headers
    assert "content-length" not in response.headers


async def test_conditions_apply_to_pages_only(bench) -> None:
    """RFC 9110 section 13.2.1: not to errors and redirects."""
    bench.says(404, {"cache-control": "max-age=100", "etag": '"1"'})
    await bench.visit()
    assert (await bench.visit({"if-none-match": '"1"'})).status == 404


@pytest.mark.parametrize("name", ["if-match", "if-unmodified-since"])
async def test_what_only_an_origin_can_judge_goes_there(bench, name) -> None:
    bench.says(200, {"cache-control": "max-age=100", "etag": '"1"'})
    await bench.visit()
    await bench.visit({name: '"1"'})
    assert bench.asked == 2


async def test_a_condition_about_a_page_that_is_not_stored_goes_to_the_origin(bench) -> None:
    bench.says(304, {"etag": '"1"'}, b"")
    response = await bench.visit({"if-none-match": '"1"'})
    assert response.status == 304
    assert bench.origin.requests[-1].headers.get("if-none-match") == '"1"'


# HEAD (section 4.3.5)


async def test_a_head_freshens_the_stored_page(bench) -> None:
    await stale_page(bench, etag='"1"', x_a="1")
    bench.says(200, {"cache-control": "max-age=100", "etag": '"1"', "x-a": "2"}, b"")
    assert (await bench.visit(method="HEAD")).status == 200
    assert bench.origin.requests[-1].method == "HEAD"
    response = await bench.visit()
    assert (response.body, response.headers.get("x-a"), bench.asked) == (b"page", "2", 2)


@pytest.mark.parametrize(
    "changed", [{"etag": '"2"'}, {"content-length": "9"}, {"last-modified": MODIFIED}]
)
async def test_a_head_about_another_version_makes_the_page_stale(bench, changed) -> None:
    bench.says(200, {"cache-control": "max-age=100", "etag": '"1"'})
    await bench.visit()
    bench.says(200, {"cache-control": "max-age=100", **changed}, b"")
    await bench.visit({"cache-control": "no-cache"}, method="HEAD")
    bench.says(200, {"cache-control": "max-age=100"}, b"newer")
    assert (await bench.visit()).body == b"newer"


@pytest.mark.parametrize(
    ("status", "outdated"),
    [(301, True), (404, True), (410, True), (400, False), (403, False), (405, False)],
)
async def test_a_head_that_tells_of_another_page_makes_the_page_stale(
    bench, status, outdated
) -> None:
    bench.says(200, {"cache-control": "max-age=100", "etag": '"1"'})
    await bench.visit()
    bench.says(status, {"cache-control": "no-store"}, b"")
    assert (await bench.visit({"cache-control": "no-cache"}, method="HEAD")).status == status
    bench.says(200, {"cache-control": "max-age=100"}, b"newer")
    assert (await bench.visit()).body == (b"newer" if outdated else b"page")


async def test_a_304_about_another_version_is_no_answer_to_a_head(bench) -> None:
    await stale_page(bench, etag='"1"')
    answers = iter([Response(304, Headers([("etag", '"2"')]))])
    newer = Response(200, Headers([("etag", '"2"')]))
    bench.origin.answer = lambda request: next(answers, newer)
    response = await bench.visit(method="HEAD")
    assert (response.status, response.headers.get("etag")) == (200, '"2"')


# Variants that do not fit (section 4.3.1)

VARIES = {"cache-control": "max-age=100", "vary": "foo"}


async def two_variants(bench, vary: str = "foo", **fields: str) -> None:
    for value in ("1", "2"):
        said = {**VARIES, "vary": vary, "etag": f'"{value}"', **fields}
        bench.says(200, said, f"page {value}".encode())
        await bench.visit({vary: value})
        bench.clock.advance(1)


async def test_a_vary_miss_sends_the_tags_of_the_other_variants(bench) -> None:
    await two_variants(bench)
    bench.says(
        304, {"etag": '"1"', "cache-control": "max-age=50", "vary": "foo", "x-a": "new"}, b""
    )
    response = await bench.visit({"foo": "3"})
    assert bench.origin.requests[-1].headers.all("if-none-match") == ['"2", "1"']
    assert (response.status, response.body) == (200, b"page 1")
    assert response.headers.get("x-a") == "new"
    assert "fwd=vary-miss; fwd-status=304" in response.headers.get("cache-status")
    for value in ("3", "1"):
        response = await bench.visit({"foo": value})
        assert (response.body, response.headers.get("x-a")) == (b"page 1", "new")
    assert (await bench.visit({"foo": "2"})).body == b"page 2"
    assert bench.asked == 3


async def test_a_vary_miss_that_no_variant_answers_gets_a_page_of_its_own(bench) -> None:
    await two_variants(bench)
    bench.says(200, {**VARIES, "etag": '"3"'}, b"page 3")
    assert (await bench.visit({"foo": "3"})).body == b"page 3"
    assert (await bench.visit({"foo": "3"})).body == b"page 3"
    assert (await bench.visit({"foo": "1"})).body == b"page 1"
    assert bench.asked == 3


@pytest.mark.parametrize("answered", [{"etag": '"4"'}, {"etag": 'W/"1"'}, {}])
async def test_a_304_that_names_no_variant_chooses_none(bench, answered) -> None:
    """Section 4.3.4."""
    await two_variants(bench)
    answers = iter([Response(304, Headers(answered.items()))])
    page = Response(200, Headers(VARIES.items()), b"page 3")
    bench.origin.answer = lambda request: next(answers, page)
    assert (await bench.visit({"foo": "3"})).body == b"page 3"
    assert "if-none-match" not in bench.origin.requests[-1].headers


async def test_a_304_that_forbids_storing_chooses_for_one_visitor(bench) -> None:
    await two_variants(bench)
    bench.says(304, {"etag": '"1"', "cache-control": "no-store"}, b"")
    assert (await bench.visit({"foo": "3"})).body == b"page 1"
    bench.says(200, VARIES, b"newer")
    assert (await bench.visit({"foo": "3"})).body == b"newer"
    assert (await bench.visit({"foo": "1"})).body == b"newer"


@pytest.mark.parametrize(
    ("vary", "fields", "asking"),
    [
        ("foo", {"etag": 'W/"1"'}, {}),
        ("foo", {"etag": "1"}, {}),
        ("cookie", {}, {}),
        ("accept-encoding", {"content-encoding": "br"}, {}),
        ("foo", {}, {"if-none-match": '"9"'}),
        ("foo", {}, {"range": "bytes=0-1"}),
        ("foo", {"cache-control": "public, max-age=9"}, {"authorization": "x"}),
    ],
)
async def test_what_could_be_the_wrong_variant_is_not_asked_about(
    bench, vary, fields, asking
) -> None:
    await two_variants(bench, vary, **fields)
    await bench.visit({vary: "3", **asking})
    assert bench.origin.requests[-1].headers.get("if-none-match") == asking.get("if-none-match")


async def test_a_visitor_who_wants_nothing_kept_costs_the_others_nothing(bench) -> None:
    bench.says(200, {"cache-control": "max-age=100", "etag": '"1"'})
    await bench.visit()
    bench.says(304, {}, b"")
    assert (await bench.visit({"cache-control": "no-cache, no-store"})).body == b"page"
    assert (await bench.visit()).body == b"page"
    assert bench.asked == 2
