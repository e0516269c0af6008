"""Tests of a repository that disappears while a build needs it, and of the worker's life after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blackstart.builder.git import Checkout, Git
from blackstart.model import BuildState, DeployState, Repo
from blackstart.repositories import RepositoryPolicy

if TYPE_CHECKING:
    from tests.conftest import Bench, Client, Repository

HOME, NEW = b"home", b"new"


class Vanishing(Git):
    """git whose repository is taken away right before, between or after its steps."""

    def __init__(self, cache: Path, folder: Path, when: str) -> None:
        super().__init__(cache, RepositoryPolicy([Path("/")]))
        self._folder = folder
        self._when = when

    @property
    def away(self) -> Path:
        return self._folder.with_name("away")

    def _reach(self, moment: str) -> None:
        if moment == self._when:
            self._when = ""
            self._folder.rename(self.away)

    async def head(self, repo: Repo) -> str:
        self._reach("before its head is asked for")
        return await super().head(repo)

    async def checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        self._reach("before the checkout")
        checkout = await super().checkout(repo, commit, folder)
        self._reach("after the checkout")
        return checkout


@pytest.mark.parametrize(
    "when", ["before its head is asked for", "before the checkout", "after the checkout"]
)
async def test_a_repository_that_disappears_ends_its_build_and_nothing_else(
    bench: Bench,
    repository: Repository,
    client_of: Client,
    when: str,
) -> None:
    repository.commit({"index.html": HOME})
    site = await bench.site("docs", repo=repository.repo)
    await bench.builds.start(site)
    assert await bench.worker().run_one()
    published = await bench.published_id(site)
    assert published is not None

    repository.commit({"index.html": NEW})
    git = Vanishing(bench.cache, repository.folder, when)
    worker = bench.worker(source=git)
    bench.clock.advance(1.0)
    lost = await bench.builds.start(site)
    assert await worker.run_one()
    ended = await bench.build(lost)
    assert ended.state is BuildState.ERROR
    assert ended.error == f"no such folder: {repository.folder}"
    assert ended.log[-1] == ended.error
    assert await bench.published_id(site) == published
    assert (await client_of(bench.origin()).get("/")).content == HOME
    deploys = await bench.store.deploys.of_site(site.id)
    assert {deploy.state for deploy in deploys if deploy.id != published} <= {DeployState.ERROR}

    git.away.rename(repository.folder)
    bench.clock.advance(1.0)
    again = await bench.builds.start(site)
    assert await worker.run_one()
    assert (await bench.build(again)).state is BuildState.DONE
    assert (await client_of(bench.origin()).get("/")).content == NEW
