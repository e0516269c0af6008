"""One build: from a commit to a published deploy."""

from __future__ import annotations

import asyncio
from pathlib import Path

from blackstart.builder.command import Limits
from blackstart.builder.files import Publication
from blackstart.builder.git import Source
from blackstart.builder.job import Job
from blackstart.builder.produce import produce
from blackstart.control.deploys import DeployService
from blackstart.control.publish import Publisher, Verdict
from blackstart.errors import ConflictError, RepositoryError
from blackstart.model import Context, Deploy, DeployState, ManifestFile, Repo
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

    async def run(self, job: Job) -> Verdict:
        """Build it; what an earlier worker left half-made is gone on with.

        Raises: RepositoryError; PublishCheckError when the deploy is whole but
        stuck; ConflictError when the build was lost; other BlackstartErrors
        when the deploy did not get that far.
        """
        build = job.build
        site = await self._store.sites.get(build.site_id)
        if site.repo is None:
            raise RepositoryError(f"site {site.name} has no repository any more")
        repo = Repo(url=site.repo.url, branch=build.branch)
        begun = await self._begun(job)
        if begun is not None and begun.metadata.tree is not None:
            return await self._publish(job, begun)
        if begun is not None and begun.commit_ref is not None:
            job.log(f"going on with deploy {begun.id}")
            return await self._build_commit(job, repo, begun.commit_ref, begun)
        if build.pinned:
            assert build.commit_ref is not None
            return await self._build_commit(job, repo, build.commit_ref, None)
        return await self._build_head(job, repo)

    async def _begun(self, job: Job) -> Deploy | None:
        """The deploy that a worker before this one made, unless it is over.

        One that was made and not noted down any more is nobody's: it is given up.
        """
        await self._store.deploys.give_up_of_build(
            job.build, DeployState.ERROR, "its worker died", but=job.build.deploy_id
        )
        if job.build.deploy_id is None:
            return None
        deploy = await self._store.deploys.find(job.build.deploy_id)
        if not isinstance(deploy, Deploy):
            return None
        over = deploy.state in (DeployState.ERROR, DeployState.CANCELLED)
        return None if over else deploy

    async def _build_head(self, job: Job, repo: Repo) -> Verdict:
        """Build the branch head, and again when it has moved on meanwhile."""
        for _ in range(HEAD_ATTEMPTS):
            commit = await self._source.head(repo)
            try:
                return await self._build_commit(job, repo, commit, None)
            except _MovedOnError:
                job.log(f"branch {repo.branch} moved on from {commit}: starting again")
        raise RepositoryError(f"branch {repo.branch} of {repo.url} moves too fast to build")

    async def _build_commit(
        self, job: Job, repo: Repo, commit: str, begun: Deploy | None
    ) -> Verdict:
        folder = temporary_folder("build", within=self._folder)
        site = folder / "site"
        site.mkdir()
        try:
            checkout = await self._source.checkout(repo, commit, site)
            job.log(f"checked out {checkout.commit}: {len(checkout.paths)} files")
            for line in checkout.skipped:
                job.log(f"skipped {line}")
            job.check()
            publication = await produce(
                site, folder / "scratch", job.log, commands=self._commands, stop=job.lost
            )
            if not publication.files:
                raise RepositoryError(f"commit {commit} has no files to publish")
            deploy = await self._deploy(job, repo, checkout.commit, publication.files, begun)
            await self._upload(job, deploy, publication)
        finally:
            await asyncio.to_thread(remove_folder, folder)
        await job.hold()
        finished = await self._deploys.finish(deploy.id)
        job.log(f"deploy {deploy.id}: tree {finished.metadata.tree}")
        return await self._publish(job, finished)

    async def _deploy(
        self, job: Job, repo: Repo, commit: str, files: list[ManifestFile], begun: Deploy | None
    ) -> Deploy:
        """The deploy that these files go into: the one begun before, or a new one.

        The branch is looked at again once a new deploy has its number: a build
        that saw a newer head then has a higher number, and comes out on top.
        Raises: _MovedOnError when the head was wanted and it is another now.
        """
        if begun is not None:
            try:
                return await self._deploys.announce(begun.id, files)
            except ConflictError:
                why = "the same commit gave other files"
                await self._store.deploys.give_up(begun.id, DeployState.ERROR, why)
                current = await self._store.deploys.get(begun.id)
                if isinstance(current, Deploy) and current.completed:
                    # A worker thought dead came before us: one build publishes one deploy.
                    return current
        build = job.build
        site = await self._store.sites.get(build.site_id)
        deploys_site = site.repo is not None and site.repo.branch == repo.branch
        context = Context.PRODUCTION if deploys_site else Context.BRANCH
        deploy = await self._deploys.create(
            build.site_id,
            files,
            branch=repo.branch,
            context=context,
            title=build.title,
            commit_ref=commit,
            build_id=build.id,
        )
        if not build.pinned and begun is None and await self._source.head(repo) != commit:
            await self._store.deploys.give_up(deploy.id, DeployState.CANCELLED, "the branch moved")
            raise _MovedOnError
        if not await self._store.builds.set_deploy(build, deploy.id, commit):
            job.lost.set()
            await self._store.deploys.give_up(deploy.id, DeployState.ERROR, "the build was lost")
            job.check()
        return deploy

    async def _upload(self, job: Job, deploy: Deploy, publication: Publication) -> None:
        required = set(await self._deploys.missing(deploy))
        job.log(f"uploading {len(required)} of {len(publication.files)} files")
        for file in publication.files:
            if file.sha1 in required:
                job.check()
                await self._deploys.upload(file.sha1, publication.stream(file.path))
                required.discard(file.sha1)

    async def _publish(self, job: Job, deploy: Deploy) -> Verdict:
        await job.hold()
        verdict = await self._publisher.publish(deploy.id)
        job.log(f"deploy {deploy.id}: {verdict}")
        return verdict


class _MovedOnError(Exception):
    """The branch has another head than the one that was built."""
