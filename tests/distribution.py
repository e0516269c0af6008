"""Which tests run in one worker, and which come first, when the tests are spread over several.

A file stays whole, so that what its tests share is made once; so do those that share one platform
or one guard. What starts whole processes or lives through whole days goes first: a worker that
began one of those last would end long after the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

SHARED = {
    "up": {
        "tests/e2e/test_api_reaches.py",
        "tests/e2e/test_big_deploys.py",
        "tests/e2e/test_bodies.py",
        "tests/e2e/test_commands.py",
        "tests/e2e/test_loadtest.py",
        "tests/e2e/test_up.py",
    },
    "guard": {"tests/cli/guard/test_console.py", "tests/cli/guard/test_requests.py"},
}
"""A fixture of whole processes that is made once in a session -> the files that use it."""

LONG = ("tests/e2e/", "tests/drills/", "tests/docs/", "tests/cli/test_drill", "tests/cli/snapshot/")


def unit_of(nodeid: str) -> str:
    """What a test may not be torn from: its file, or the files that share a fixture with it."""
    file = nodeid.partition("::")[0]
    return next((name for name, files in SHARED.items() if file in files), file)


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Long units first, then those of many tests."""
    sizes = Counter(unit_of(item.nodeid) for item in items)
    long = {unit_of(item.nodeid) for item in items if item.nodeid.startswith(LONG)}
    return sorted(items, key=lambda item: _rank(unit_of(item.nodeid), long, sizes))


def _rank(unit: str, long: set[str], sizes: Counter[str]) -> tuple[bool, int, str]:
    return unit not in long, -sizes[unit], unit


class ByUnit(LoadScopeScheduling):
    """Gives each worker whole units, in the order of the collection.

    xdist's own groups are none since pytest 9.2, which took away the node ids they travelled in.
    """

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Callable[..., Any]) -> ByUnit | None:
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return ByUnit(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items[:] = in_order(items)
