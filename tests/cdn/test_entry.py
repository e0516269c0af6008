"""Tests of stored responses and their form on disk."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blackstart.cdn.entry import decode, decode_head, encode
from blackstart.errors import StorageError


def test_an_entry_is_fresh_until_its_lifetime_is_over(make_entry) -> None:
    entry = make_entry(stored_at=100.0, initial_age_s=10.0, lifetime_s=60.0)
    assert entry.is_fresh(149.0)
    assert not entry.is_fresh(150.0)


def test_a_clock_set_back_does_not_make_an_entry_younger(make_entry) -> None:
    assert make_entry(stored_at=100.0, initial_age_s=10.0).age_s(50.0) == 10.0


def test_an_entry_covers_errors_until_its_window_is_over(make_entry) -> None:
    entry = make_entry(stored_at=0.0, lifetime_s=60.0, stale_window_s=100.0)
    assert entry.covers_errors(159.0)
    assert not entry.covers_errors(160.0)


def test_a_suspect_entry_is_never_fresh_and_yet_covers_errors(make_entry) -> None:
    entry = make_entry(stored_at=0.0, stale_window_s=0.0, suspect=True)
    assert not entry.is_fresh(1.0)
    assert entry.covers_errors(1.0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=300), key=st.text(st.characters(codec="utf-8")))
def test_an_entry_survives_the_trip_to_bytes_and_back(make_entry, body: bytes, key: str) -> None:
    entry = make_entry(key, body=body, vary=("accept",))
    assert decode(encode(entry)) == entry
    assert decode_head(encode(entry)).size == entry.size


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_torn_or_flipped_byte_goes_unnoticed(make_entry, data: st.DataObject) -> None:
    whole = encode(make_entry(body=b"the body of a page"))
    position = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytearray(whole)
    flipped[position] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(flipped), whole[:position], whole + b"x"):
        with pytest.raises(StorageError):
            decode(damaged)
