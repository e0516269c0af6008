"""What is done to sites: a stuck build pushed, a rebuild asked for, a site reverted.

All of it goes through the control plane's own services, and each step can be
taken again: it finds out first what is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from blackstart.control.builds import BuildService
from blackstart.control.publish import Publisher
from blackstart.errors import BlackstartError, ConflictError, NotFoundError
from blackstart.model import BuildState, InvalidDeploy
from blackstart.recovery.apply.change import Outcome
from blackstart.recovery.plan import Entry
from blackstart.recovery.sources import Route
from blackstart.store import MetadataStore

Verdict = tuple[Outcome, str]
Intend = Callable[[], None]
"""Writes down what is about to be done; called right before it is."""


class SiteSteps:
    """Raises (all methods): PyMongoError when the database fails."""

    def __init__(self, store: MetadataStore, publisher: Publisher, builds: BuildService) -> None:
        self._store = store
        self._publisher = publisher
        self._builds = builds

    async def take(self, entry: Entry, intend: Intend | None, *, in_doubt: bool) -> Verdict:
        """Carry an entry out, or tell what would come of it when `intend` is None.

        `in_doubt`: this run may have done it already.
        """
        step: Callable[[Entry, Intend | None, bool], Awaitable[Verdict]]
        if entry.route is Route.REVERT:
            step = self._revert
        elif entry.route is Route.PUSH:
            step = self._push
        else:
            step = self._rebuild
        try:
            return await step(entry, intend, in_doubt)
        except NotFoundError as error:
            return Outcome.GONE, error.message
        except ConflictError as error:
            return Outcome.CHANGED, str(error)
        except BlackstartError as error:
            return Outcome.FAILED, str(error)

    async def _revert(self, entry: Entry, intend: Intend | None, in_doubt: bool) -> Verdict:
        seen, target = entry.before["published_deploy_id"], entry.after["published_deploy_id"]
        shown = (await self._store.sites.get(entry.site_id)).published_deploy_id
        if shown == target:
            if in_doubt and intend:
                # Whoever stopped there may not have told the nodes.
                await self._publisher.revert(entry.site_id, target, instead_of=seen)
            return (Outcome.APPLIED if in_doubt else Outcome.ALREADY), ""
        await self._need_still_broken(entry, shown)
        if intend:
            intend()
            await self._publisher.revert(entry.site_id, target, instead_of=seen)
        return Outcome.APPLIED, ""

    async def _rebuild(self, entry: Entry, intend: Intend | None, in_doubt: bool) -> Verdict:
        build_id = entry.after["build"]
        if await self._store.builds.find(build_id) is not None:
            return (Outcome.APPLIED if in_doubt else Outcome.ALREADY), ""
        site = await self._store.sites.get(entry.site_id)
        await self._need_still_broken(entry, site.published_deploy_id)
        if intend:
            intend()
            await self._builds.start(
                site,
                commit_ref=entry.after["commit_ref"],
                branch=entry.after["branch"],
                title=f"rebuild of deploy {entry.deploy_id}",
                urgent=True,
                why="rebuild",
                build_id=build_id,
            )
        return Outcome.APPLIED, ""

    async def _push(self, entry: Entry, intend: Intend | None, in_doubt: bool) -> Verdict:
        build = await self._store.builds.get(entry.after["build"])
        if build.state is BuildState.DONE:
            return (Outcome.APPLIED if in_doubt else Outcome.ALREADY), ""
        if intend:
            intend()
            await self._builds.push_stuck(build)
        return Outcome.APPLIED, ""

    async def _need_still_broken(self, entry: Entry, shown: str | None) -> None:
        """Raises: ConflictError when the site is not as the plan saw it."""
        if shown != entry.before["published_deploy_id"]:
            raise ConflictError(f"site {entry.site} shows deploy {shown} now")
        deploy = await self._store.deploys.find(entry.deploy_id)
        if deploy is not None and not isinstance(deploy, InvalidDeploy):
            raise ConflictError(f"deploy {entry.deploy_id} is valid again")
