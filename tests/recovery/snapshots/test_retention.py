"""Which snapshots are kept: by hour, day and week, and always one that is worth something."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.errors import UsageError
from blackstart.recovery.snapshots import Snapshot
from blackstart.recovery.snapshots.retention import Keep, why_kept

START = datetime(2017, 1, 1, tzinfo=UTC)


def taken(minutes: int, *, deploys: int = 1, database: str = "blackstart") -> Snapshot:
    at = START + timedelta(minutes=minutes)
    return Snapshot(f"{database}-{minutes:09}", at, database, True, {"deploys": deploys}, 1, 1)


def test_the_last_of_each_hour_day_and_week_stands_for_it() -> None:
    quarters = [taken(15 * number) for number in range(4 * 24 * 30)]
    kept = why_kept(quarters, Keep(newest=1, hourly=3, daily=2, weekly=2))
    times = sorted((each.taken_at for each in quarters if each.id in kept), reverse=True)
    assert [f"{at:%d %H:%M}" for at in times] == [
        "30 23:45",  # the newest, of its hour, its day and its week
        "30 22:45",
        "30 21:45",
        "29 23:45",  # the day before, and the week before: the 30th was a Monday
    ]
    assert kept[quarters[-1].id] == ["newest", "hourly", "daily", "weekly"]


def test_hours_without_a_snapshot_count_for_nothing() -> None:
    rare = [taken(60 * 24 * 40 * number) for number in range(5)]
    kept = why_kept(rare, Keep(newest=0, hourly=3, daily=0, weekly=0))
    assert sorted(kept) == [each.id for each in rare[-3:]]


def test_empty_snapshots_take_the_place_of_empty_ones_only() -> None:
    good = [taken(60 * number) for number in range(72)]
    empty = [taken(60 * 72 + 15 * number, deploys=0) for number in range(1, 2_000)]
    rule = Keep(newest=2, hourly=4, daily=2, weekly=1)
    both, alone = why_kept([*good, *empty], rule), why_kept(good, rule)
    assert {key: both[key] for key in alone} == alone
    assert len(both) == len(alone) + len(why_kept(empty, rule)) < 20


def test_each_database_keeps_its_own() -> None:
    one, other = taken(0, database="one"), taken(99, database="other")
    assert set(why_kept([one, other], Keep.parse("newest=1"))) == {one.id, other.id}


MOMENTS = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 1)), min_size=1, unique_by=lambda each: each[0]
)
KEEPS = st.builds(Keep, *(st.integers(0, 5) for _ in range(4)))


@given(MOMENTS, KEEPS)
def test_what_was_kept_once_is_kept_again_and_the_newest_always(
    moments: list[tuple[int, int]], keep: Keep
) -> None:
    snapshots = [taken(minutes, deploys=deploys) for minutes, deploys in moments]
    kept = why_kept(snapshots, keep)
    left = [each for each in snapshots if each.id in kept]
    assert why_kept(left, keep) == kept, "a second run removes nothing more"
    assert max(snapshots, key=lambda each: each.taken_at).id in kept
    assert any(not each.is_empty for each in left) == any(not each.is_empty for each in snapshots)
    assert len(kept) <= 2 * (max(1, keep.newest) + keep.hourly + keep.daily + keep.weekly)


def test_a_rule_is_read_as_it_is_written() -> None:
    assert Keep.parse("hourly=24, daily=7") == Keep(0, 24, 7, 0)
    assert Keep.parse(str(Keep())) == Keep()


@pytest.mark.parametrize(
    "text", ["yearly=1", "hourly", "hourly=-1", "hourly=many", "daily=9999999"]
)
def test_a_rule_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot keep"):
        Keep.parse(text)
