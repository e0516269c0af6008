"""Tests of how many visitors the open files of a process suffice for."""

from __future__ import annotations

import pytest

from blackstart.cdn.descriptors import limits_by_descriptors, within


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(0, 1), (400, 8), (1024, 320), (4096, 1856), (20_384, 10_000), (1_048_576, 10_000)],
)
def test_half_of_what_is_not_reserved_is_for_visitors(descriptors, connections) -> None:
    assert within(descriptors) == connections


def test_the_limits_are_never_beyond_those_of_the_front() -> None:
    assert 1 <= limits_by_descriptors().connections <= 10_000
