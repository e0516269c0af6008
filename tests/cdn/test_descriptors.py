"""Tests of how many visitors the open files of a process suffice for."""

from __future__ import annotations

from resource import RLIM_INFINITY

import pytest
from structlog.testing import capture_logs

from blackstart.cdn.descriptors import limits_by_descriptors, within


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(0, 1), (400, 8), (1024, 320), (4096, 1856), (20_384, 10_000), (1_048_576, 10_000)],
)
def test_half_of_what_is_not_reserved_is_for_visitors(descriptors, connections) -> None:
    assert within(descriptors) == connections


def test_limits_that_are_low_for_want_of_descriptors_are_told(monkeypatch) -> None:
    with capture_logs() as logs:
        for files, most in ((64, 1), (1024, 320), (RLIM_INFINITY, 10_000), (20_000, 9808)):
            monkeypatch.setattr("resource.getrlimit", lambda _, files=files: (files, files))
            monkeypatch.setattr("resource.setrlimit", lambda *_: None)
            assert limits_by_descriptors().connections == most
    assert [(each["connections"], each["open_files"]) for each in logs] == [(1, 64), (320, 1024)]


def test_the_limits_are_never_beyond_those_of_the_front() -> None:
    assert 1 <= limits_by_descriptors().connections <= 10_000
