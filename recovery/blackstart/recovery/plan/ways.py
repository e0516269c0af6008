"""The ways back for a site whose deploy cannot be restored: push, rebuild, or revert."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from blackstart.errors import BlackstartError
from blackstart.model import Build, BuildState, Context, Deploy, DeployState, InvalidDeploy, Site
from blackstart.recovery.find import FileCheck
from blackstart.recovery.sources.source import Route
from blackstart.safeguards import Safeguards
from blackstart.store import MetadataStore

TRIED = 20
BuildCheck = Callable[[Site, str | None], Awaitable[str]]
"""Says why a commit of a site (None: the head of its branch) cannot be built, or nothing."""


async def unchecked(site: Site, commit_ref: str | None) -> str:
    """For who cannot reach the repositories: the build itself will tell."""
    return ""


@dataclass
class Way:
    """A way back for a site, or none: `after` as in an entry, and what else was looked at."""

    route: Route
    source: str = ""
    after: dict[str, Any] = field(default_factory=dict)
    evidence: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class SiteWays:
    """Looks for a way that has a site show something good again.

    `restored` are ready production deploys that come back by the same plan:
    (number, id) by site. Only `routes` are offered.
    """

    def __init__(
        self,
        store: MetadataStore,
        files: FileCheck,
        *,
        routes: Collection[Route],
        safeguards: Safeguards,
        can_build: BuildCheck = unchecked,
    ) -> None:
        self._store = store
        self._files = files
        self._routes = routes
        self._by_commit = "rebuild-by-commit" in safeguards
        self._can_build = can_build
        self._stuck: list[Build] | None = None
        self.restored: dict[str, list[tuple[int, str]]] = {}

    async def find(self, broken: InvalidDeploy) -> Way:
        """The best way for the site that shows this deploy."""
        refused: list[str] = []
        try:
            site = await self._store.sites.get(broken.site_id)
        except BlackstartError as error:
            return Way(Route.NONE, refused=[error.message])
        if site.locked:
            refused.append(f"site {site.name} is locked at this deploy: unlock it first")
            return Way(Route.NONE, refused=refused)
        for route, look in (
            (Route.PUSH, self._push),
            (Route.REBUILD, self._rebuild),
            (Route.REVERT, self._revert),
        ):
            if route in self._routes:
                way = await look(site, broken)
                if isinstance(way, Way):
                    way.refused[:0] = refused
                    return way
                refused += [way] if way else []
        return Way(Route.NONE, refused=refused)

    async def _push(self, site: Site, broken: InvalidDeploy) -> Way | str:
        """A newer deploy of the site that is whole, and only stuck at the publish check."""
        if self._stuck is None:
            self._stuck = await self._store.builds.in_state(BuildState.STUCK)
        for build in self._stuck:
            if build.site_id != site.id or build.deploy_id is None:
                continue
            deploy = await self._store.deploys.find(build.deploy_id)
            newer = isinstance(deploy, Deploy) and deploy.number > broken.number
            if isinstance(deploy, Deploy) and newer and await self._is_whole(deploy):
                evidence = f"deploy {deploy.id} (#{deploy.number}) is whole: its build is stuck"
                after = {"build": build.id, "deploy": deploy.id}
                return Way(Route.PUSH, "stuck build", after, [evidence])
        return ""

    async def _rebuild(self, site: Site, broken: InvalidDeploy) -> Way | str:
        commit = broken.raw.get("commit_ref")
        if site.repo is None:
            return "rebuild: the site has no repository"
        if not isinstance(commit, str):
            return "rebuild: the deploy was made of no commit"
        pinned = commit if self._by_commit else None
        why = await self._can_build(site, pinned)
        if why:
            return f"rebuild: {why}"
        branch = broken.raw.get("branch")
        after = {
            "build": await self._free_build_id(broken.id),
            "commit_ref": pinned,
            "branch": branch if isinstance(branch, str) else site.repo.branch,
        }
        evidence = f"commit {commit} can be built from {site.repo.url}"
        if pinned is None:
            evidence = f"the head of {after['branch']} can be built, maybe newer than {commit}"
        return Way(Route.REBUILD, "git", after, [evidence])

    async def _free_build_id(self, deploy_id: str) -> str:
        """Told by the deploy alone, so that however often it is asked for, one build comes of it.

        One that failed is not in the way of another try.
        """
        for attempt in range(TRIED):
            build_id = hashlib.sha256(f"rebuild/{deploy_id}/{attempt}".encode()).hexdigest()[:24]
            try:
                build = await self._store.builds.find(build_id)
            except BlackstartError:
                continue
            if build is None or not build.state.ended:
                break
        return build_id

    async def _revert(self, site: Site, broken: InvalidDeploy) -> Way | str:
        where = {"state": DeployState.READY, "context": Context.PRODUCTION}
        comes_back = {deploy_id for _, deploy_id in self.restored.get(site.id, [])}
        newer: Deploy | InvalidDeploy | None = None
        for deploy in await self._store.deploys.of_site(site.id, where=where):
            good = deploy.id in comes_back or (
                isinstance(deploy, Deploy) and await self._is_whole(deploy)
            )
            if good and deploy.number < broken.number:
                return self._revert_to(deploy)
            newer = deploy if good else newer
        return self._revert_to(newer) if newer else "revert: the site has no good deploy left"

    def _revert_to(self, deploy: Deploy | InvalidDeploy) -> Way:
        evidence = f"deploy {deploy.id} (#{deploy.number}) is the last known good one"
        after = {"published_deploy_id": deploy.id}
        return Way(Route.REVERT, "older deploys", after, [evidence])

    async def _is_whole(self, deploy: Deploy) -> bool:
        tree = deploy.metadata.tree
        return tree is not None and (await self._files.tree(tree)).whole
