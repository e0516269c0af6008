"""Tests of what a node counts, and of the warnings it does not repeat."""

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from blackstart.cdn.complaints import Complaints
from blackstart.cdn.hop import ShutError, UnansweredError, UnreachableError
from blackstart.cdn.hop.failures import broken_off, timed_out
from blackstart.cdn.message import Request, whole_body
from blackstart.cdn.metrics import BOUNDS_S, Metrics
from blackstart.cdn.node import log
from blackstart.errors import HopError

PAGE = Request("GET", "/", "a.example")
KEEP = {"cache_control": "max-age=60", "cache_tag": "site-1"}


def samples(metrics: Metrics) -> dict[str, float]:
    """All that is reported, by name and label values."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        " ".join([each.name.removeprefix("blackstart_cdn_"), *each.labels.values()]): each.value
        for family in families
        for each in family.samples
    }


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (HopError("x"), "hop"),
        (UnreachableError("x"), "unreachable"),
        (UnansweredError("x"), "unanswered"),
        (timed_out("x", head_came=False), "timeout"),
        (ShutError("x", 1.0), "shut"),
    ],
)
async def test_errors_of_the_origin_are_told_apart(node, origin, error, kind) -> None:
    origin.answer = error
    await node.answer(PAGE)
    said = samples(node.metrics)
    assert said[f"errors_total {kind}"] == 1
    assert sum(value for name, value in said.items() if name.startswith("errors_total")) == 1
    assert said["misses_total free"] == 1
    assert said["origin_seconds_count"] == 0, "only answers took their time"


@pytest.mark.parametrize("error", [broken_off("x"), timed_out("x", head_came=True)])
async def test_a_body_that_breaks_off_is_counted_once_however_many_read_it(
    node, origin, stream, error
) -> None:
    origin.says(200, stream([b"a"], error), **KEEP)
    answer = await node.answer(PAGE)
    with pytest.raises(HopError):
        await whole_body(answer.body)
    assert samples(node.metrics)[f"errors_total {error.kind}"] == 1


async def test_an_origin_that_fails_by_status_is_counted_with_its_time(node, origin, clock) -> None:
    async def meanwhile() -> None:
        clock.advance(0.3)

    origin.meanwhile = meanwhile
    origin.says(503)
    await node.answer(PAGE)
    said = samples(node.metrics)
    assert said["errors_total status"] == 1
    assert said["origin_seconds_sum"] == pytest.approx(0.3)
    assert (said["origin_seconds_bucket 0.25"], said["origin_seconds_bucket 0.5"]) == (0, 1)


async def test_those_who_wait_for_another_s_request_are_counted(node, origin, clock) -> None:
    async def visit() -> None:
        await node.answer(PAGE)

    origin.answer = HopError("down")
    for visitor in [clock.spawn(f"visitor {number}", visit()) for number in range(3)]:
        await visitor
    assert len(origin.requests) == 1
    said = samples(node.metrics)
    assert (said["misses_total free"], said["collapsed_total free"]) == (3, 2)


async def test_a_copy_served_while_it_is_confirmed_is_stale_and_no_hit(node, origin, clock) -> None:
    origin.says(cache_control="max-age=60, stale-while-revalidate=60")
    await node.answer(PAGE)
    clock.advance(61)
    await node.answer(PAGE)
    said = samples(node.metrics)
    assert (said["hits_total free"], said["stale_total free"]) == (0, 1)


async def test_purges_are_counted_with_what_they_hit(node, origin) -> None:
    origin.says(**KEEP)
    await node.answer(PAGE)
    assert samples(node.metrics)["entries"] == 1
    await node.purge(["site-1"])
    await node.purge(["site-1"])
    await node.purge_all()
    said = samples(node.metrics)
    assert (said["purges_total"], said["purged_entries_total"], said["entries"]) == (3, 1, 0)


def test_a_gauge_has_a_line_for_each_of_its_labels() -> None:
    metrics = Metrics(["free"])
    metrics.gauge("breaker_open", "Whether", lambda: True, origin="a")
    metrics.gauge("breaker_open", "Whether", lambda: False, origin="b")
    said = samples(metrics)
    assert (said["breaker_open a"], said["breaker_open b"]) == (1, 0)


def test_the_steps_of_a_latency_add_up() -> None:
    metrics = Metrics(["free"])
    for seconds in (0.0, BOUNDS_S[0], BOUNDS_S[-1], 31.0):
        metrics.origin.took(seconds)
    said = samples(metrics)
    assert said[f"origin_seconds_bucket {BOUNDS_S[0]}"] == 2
    assert said[f"origin_seconds_bucket {BOUNDS_S[-1]}"] == 3
    assert said["origin_seconds_bucket +Inf"] == said["origin_seconds_count"] == 4


def test_a_warning_is_written_once_a_second_with_how_many_went_unwritten(clock) -> None:
    complaints = Complaints(clock, log, "no answer")
    with capture_logs() as lines:
        for number in range(5):
            complaints.warn(number=number)
        assert [line["number"] for line in lines] == [0]
        clock.advance(1)
        complaints.warn(number=5)
        complaints.warn(number=6)
        assert [line.get("more") for line in lines] == [None, 4]
        complaints.close()
        complaints.close()
    assert [line.get("more") for line in lines] == [None, 4, 1]


def test_a_clock_that_is_set_back_silences_no_warning(clock) -> None:
    complaints = Complaints(clock, log, "no answer")
    with capture_logs() as lines:
        complaints.warn()
        clock.advance(-3600)
        complaints.warn()
    assert len(lines) == 2


async def test_an_origin_that_is_down_fills_no_log(node, origin) -> None:
    origin.answer = HopError("down")
    with capture_logs() as lines:
        for _ in range(10):
            await node.answer(PAGE)
        await node.close()
    assert [line.get("more") for line in lines] == [None, 9]
    assert [line.get("host") for line in lines] == ["a.example", None]
