"""One build: from a commit to a published deploy."""

from __future__ import annotations

import asyncio
from pathlib import Path

from blackstart.builder.command import Limits
from blackstart.builder.files import Publication
from blackstart.builder.git import Source
from blackstart.builder.produce import produce
from blackstart.control.deploys import DeployService
from blackstart.control.publish import Publisher, Verdict
from blackstart.errors import ConflictError, RepositoryError
from blackstart.model import Build, Deploy, DeployState, Repo
from blackstart.process import remove_folder, temporary_folder
from blackstart.store import MetadataStore

HEAD_ATTEMPTS = 5


class Builder:
    """Checks out a build's commit and takes its files through the deploy path.

    Checkouts are made below `folder`, by default the system's temporary one.
    `commands` are the limits of build commands; None runs none.
    """

    def __init__(
        self,
        store: MetadataStore,
        deploys: DeployService,
        publisher: Publisher,
        source: Source,
        *,
        folder: Path | None = None,
        commands: Limits | None = None,
    ) -> None:
        self._store = store
        self._deploys = deploys
        self._publisher = publisher
        self._source = source
        self._folder = folder
        self._commands = commands

    async def run(self, build: Build, log: list[str]) -> Verdict:
        """Build it; what is done goes to `log`, line by line.

        Raises: RepositoryError; PublishCheckError when the deploy is whole but
        stuck; other BlackstartErrors when the deploy did not get that far.
        """
        site = await self._store.sites.get(build.site_id)
        if site.repo is None:
            raise RepositoryError(f"site {site.name} has no repository any more")
        await self._give_up_earlier_attempt(build)
        for _ in range(HEAD_ATTEMPTS):
            commit = build.commit_ref or await self._source.head(site.repo)
            verdict = await self._build_commit(build, site.id, site.repo, commit, log)
            if verdict is not None:
                return verdict
            log.append(f"branch {build.branch} moved on from {commit}: starting again")
        raise RepositoryError(f"branch {build.branch} of {site.repo.url} moves too fast to build")

    async def _build_commit(
        self, build: Build, site_id: str, repo: Repo, commit: str, log: list[str]
    ) -> Verdict | None:
        """Build one commit; None when the branch has moved on and its head was wanted.

        The branch is looked at again once the deploy has its number: a build
        that saw a newer head then has a higher number, and comes out on top.
        """
        folder = temporary_folder("build", within=self._folder)
        site = folder / "site"
        site.mkdir()
        try:
            checkout = await self._source.checkout(repo, commit, site)
            commit = checkout.commit
            log.append(f"checked out {commit}: {len(checkout.paths)} files")
            log.extend(f"skipped {line}" for line in checkout.skipped)
            files = await produce(site, folder / "scratch", log, commands=self._commands)
            if not files.files:
                raise RepositoryError(f"commit {commit} has no files to publish")
            deploy = await self._deploys.announce(
                site_id, files.files, branch=build.branch, commit_ref=commit, build_id=build.id
            )
            if build.commit_ref is None and await self._source.head(repo) != commit:
                await self._store.deploys.move(
                    deploy.id, from_states=[DeployState.UPLOADING], to=DeployState.CANCELLED
                )
                return None
            await self._keep(build, deploy, commit)
            await self._upload(deploy, files, log)
        finally:
            await asyncio.to_thread(remove_folder, folder)
        finished = await self._deploys.finish(deploy.id)
        log.append(f"deploy {deploy.id}: tree {finished.metadata.tree}")
        verdict = await self._publisher.publish(deploy.id)
        log.append(f"deploy {deploy.id}: {verdict}")
        return verdict

    async def _keep(self, build: Build, deploy: Deploy, commit: str) -> None:
        """Note the deploy on the build, unless another worker has the build by now."""
        if not await self._store.builds.set_deploy(build, deploy.id, commit):
            await self._store.deploys.move(
                deploy.id, from_states=[DeployState.UPLOADING], to=DeployState.ERROR
            )
            raise ConflictError(f"build {build.id} was taken over by another worker")

    async def _upload(self, deploy: Deploy, publication: Publication, log: list[str]) -> None:
        required = set(deploy.metadata.pending_uploads)
        log.append(f"uploading {len(required)} of {len(publication.files)} files")
        for file in publication.files:
            if file.sha1 in required:
                data = await asyncio.to_thread(publication.read, file.path)
                await self._deploys.upload(deploy.id, file.sha1, data)
                required.discard(file.sha1)

    async def _give_up_earlier_attempt(self, build: Build) -> None:
        """What a worker that died left half-made ends as an error; its files stay pending."""
        if build.deploy_id is not None:
            await self._store.deploys.move(
                build.deploy_id,
                from_states=[DeployState.NEW, DeployState.UPLOADING, DeployState.PROCESSING],
                to=DeployState.ERROR,
            )
