"""What the tests of snapshots share: small chunks, a few deploys, and a store that breaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from blackstart.recovery.snapshots import cutting

if TYPE_CHECKING:
    from tests.conftest import Bench

PAGE = {"index.html": b"home"}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of a few documents."""
    monkeypatch.setattr(cutting, "TARGET_BYTES", 1000)


@pytest.fixture
async def raws(bench: Bench) -> list[dict[str, Any]]:
    """Five deploys, one of them damaged, as the database has them."""
    site = await bench.site()
    deploys = [await bench.release(site, PAGE) for _ in range(5)]
    await bench.destroy(deploys[2].id)
    return [raw async for raw in bench.store.deploys.scan_raw()]
