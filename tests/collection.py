"""Collects the tests without a search for garbage: all that is made then stays to the end.

Each worker makes some 300,000 objects while it collects, and would go through them again and again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_sessionfinish() -> None:
    """Let all go together at the end: clients complain when they go after asyncio has."""
    gc.unfreeze()
