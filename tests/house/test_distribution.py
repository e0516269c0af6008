"""The workers of a whole run: what shares processes stays together, and the long starts first."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tests.distribution import SHARED, in_order, unit_of


@pytest.mark.parametrize("fixture", SHARED)
def test_tests_that_share_whole_processes_run_in_one_worker(
    request: pytest.FixtureRequest, fixture: str
) -> None:
    # Of the tests of this run: all of them where it is a whole one.
    users = [item for item in request.session.items if fixture in item.fixturenames]
    assert {unit_of(item.nodeid) for item in users} <= {fixture}


def test_files_stay_whole_long_ones_first_then_those_of_many_tests() -> None:
    told = [
        "tests/cdn/test_a.py::one",
        "tests/e2e/test_up.py::one",
        "tests/model/test_b.py::one",
        "tests/cdn/test_a.py::two[tests/e2e/]",
        "tests/model/test_b.py::two",
        "tests/model/test_b.py::three",
        "tests/e2e/test_bodies.py::one",
        "tests/drills/test_c.py::one",
    ]
    items = [SimpleNamespace(nodeid=nodeid) for nodeid in told]
    assert [item.nodeid for item in in_order(items)] == [
        told[1],
        told[6],
        told[7],
        told[2],
        told[4],
        told[5],
        told[0],
        told[3],
    ]
