"""What the builder's tests share: a site with a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blackstart.model import Site

if TYPE_CHECKING:
    from tests.conftest import Bench, Repository


@pytest.fixture
async def site(bench: Bench, repository: Repository) -> Site:
    return await bench.site(repo=repository.repo)
