"""Publishing: the check against older work, and the atomic write that makes a deploy current."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from blackstart.clock import Clock
from blackstart.control.deploys import valid
from blackstart.control.purge import Purge, branch_tag, site_tag
from blackstart.errors import ConflictError, HopError, PublishCheckError
from blackstart.events import Events
from blackstart.model import Context, Deploy, DeployState, InvalidDeploy, Site
from blackstart.safeguards import Safeguards
from blackstart.store import MetadataStore


class Verdict(StrEnum):
    """What became of a deploy that is whole; a preview is not meant to be published."""

    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    LOCKED = "locked"
    PREVIEW = "preview"


class Publisher:
    """Decides whether a deploy becomes its site's current one, and makes it so."""

    def __init__(
        self,
        store: MetadataStore,
        purge: Purge,
        *,
        clock: Clock,
        safeguards: Safeguards,
        events: Events,
    ) -> None:
        self._store = store
        self._purge = purge
        self._clock = clock
        self._safeguards = safeguards
        self._events = events

    async def publish(self, deploy_id: str) -> Verdict:
        """Run the publish check, complete the deploy, make it current, purge.

        It may be called again at any time, by whoever finds the deploy half-way.
        Raises: PublishCheckError when the check cannot compare: the deploy
        then stays processing, whole but stuck, until `push`. ConflictError
        when the deploy has no tree yet or is over.
        """
        deploy = valid(await self._store.deploys.get(deploy_id))
        to_check = deploy.context is Context.PRODUCTION and deploy.state is not DeployState.READY
        superseded = to_check and await self._is_superseded(deploy)
        return await self._publish_completed(deploy, checked=True, superseded=superseded)

    async def push(self, deploy_id: str) -> Verdict:
        """Push a stuck deploy through: as `publish`, without the check that failed."""
        deploy = valid(await self._store.deploys.get(deploy_id))
        return await self._publish_completed(deploy, checked=False, superseded=False)

    async def revert(self, site_id: str, deploy_id: str, *, instead_of: str | None = None) -> None:
        """Make an older, ready deploy the site's current one, on purpose.

        Raises: InvalidDeployError; ConflictError when it is not a ready production
        deploy of the site, the site is locked, was changed meanwhile, or shows
        something else than `instead_of`.
        """
        site = await self._store.sites.get(site_id)
        if instead_of is not None and site.published_deploy_id not in (instead_of, deploy_id):
            raise ConflictError(f"site {site.name} shows deploy {site.published_deploy_id} now")
        await self._revert(site, valid(await self._store.deploys.get(deploy_id)))

    async def _revert(self, site: Site, deploy: Deploy) -> None:
        if deploy.site_id != site.id or deploy.state is not DeployState.READY:
            raise ConflictError(f"deploy {deploy.id} is not a ready deploy of site {site.name}")
        if deploy.context is not Context.PRODUCTION:
            raise ConflictError(f"deploy {deploy.id} is a {deploy.context}: it is never published")
        if deploy.id == site.published_deploy_id:
            # Whoever reverted before may have died before the nodes were told.
            await self._purge_site(site.id)
            return
        if site.locked:
            raise ConflictError(
                f"site {site.name} is locked at deploy {site.published_deploy_id}",
                hint="unlock that deploy first",
            )
        if not await self._store.sites.publish(site, deploy.id, deploy.number):
            raise ConflictError(f"site {site.name} was changed meanwhile", hint="look again")
        self._events("site.reverted", site.id, deploy=deploy.id, instead=site.published_deploy_id)
        await self._purge_site(site.id)

    async def take_back(self, site_id: str, deploy_id: str, *, instead_of: str) -> None:
        """Undo a revert: show again what the site showed before it, valid or not.

        Raises: ConflictError when the site shows something else than
        `instead_of` by now, or is locked.
        """
        if not await self._store.sites.show_again(site_id, deploy_id, instead_of=instead_of):
            raise ConflictError(f"site {site_id} does not show deploy {instead_of} any more")
        self._events("site.taken_back", site_id, deploy=deploy_id, instead=instead_of)
        await self._purge_site(site_id)

    async def roll_back(self, site_id: str) -> Deploy:
        """Revert a site to the newest ready deploy before the one it shows; returns that.

        Raises: ConflictError when there is none, or as `revert`.
        """
        site = await self._store.sites.get(site_id)
        current = await self._current(site)
        before: dict[str, Any] = {"context": Context.PRODUCTION, "state": DeployState.READY}
        if current is not None:
            before["number"] = {"$lt": current.number}
            found = newest_good(await self._store.deploys.of_site(site_id, where=before))
            if found is not None:
                await self._revert(site, found)
                return found
        raise ConflictError(
            f"site {site.name} has no earlier deploy to go back to", hint="publish one first"
        )

    async def lock(self, deploy_id: str) -> None:
        """Keep a site at this deploy, which it must show: builds go on, nothing is published.

        Raises: NotFoundError; ConflictError when the site shows another deploy.
        """
        deploy = await self._store.deploys.get(deploy_id)
        if not await self._store.sites.lock(deploy.site_id, deploy_id):
            raise ConflictError(
                f"deploy {deploy_id} is not the published one", hint="restore it before you lock it"
            )
        self._events("site.locked", deploy.site_id, deploy=deploy_id)

    async def unlock(self, deploy_id: str) -> None:
        """Let a deploy's site be published again, from the next one on. Raises: NotFoundError."""
        deploy = await self._store.deploys.get(deploy_id)
        await self._store.sites.unlock(deploy.site_id)
        self._events("site.unlocked", deploy.site_id, deploy=deploy_id)

    async def _is_superseded(self, deploy: Deploy) -> bool:
        """The publish check: was a newer deploy of the site completed already?

        It reads the completion time of the site's latest completed deploy.
        Without `tolerant-publish` one whose metadata is invalid fails the
        check, as in 2017; with it the next older valid one counts.
        """
        latest = await self._latest_completed(deploy)
        superseded = (
            latest is not None
            and latest.metadata.completed_at is not None
            and latest.metadata.completed_at <= self._clock.now()
            and latest.number > deploy.number
        )
        self._checked(deploy, latest, "superseded" if superseded else "passed")
        return superseded

    async def _latest_completed(self, deploy: Deploy) -> Deploy | None:
        completed = self._store.deploys.completed_newest_first(deploy.site_id, but=deploy.id)
        async for latest in completed:
            if isinstance(latest, Deploy):
                return latest
            # A deploy that is completed has passed the check before.
            stuck = deploy.metadata.completed_at is None
            if stuck and "tolerant-publish" not in self._safeguards:
                self._checked(deploy, latest, "failed")
                raise PublishCheckError(
                    f"cannot compare with deploy {latest.id}: {latest.reason}",
                    hint="push the deploy through, or switch tolerant-publish on",
                )
        return None

    def _checked(self, deploy: Deploy, latest: Deploy | InvalidDeploy | None, outcome: str) -> None:
        self._events(
            "publish.checked",
            deploy.id,
            site=deploy.site_id,
            latest=latest.id if latest else None,
            outcome=outcome,
        )

    async def _publish_completed(
        self, deploy: Deploy, *, checked: bool, superseded: bool
    ) -> Verdict:
        """Past the check: nobody calls the deploy off any more, anybody can go on with it."""
        if deploy.state is DeployState.READY:
            verdict = await self._verdict_so_far(deploy)
        else:
            deploy = await self._complete(deploy)
            verdict = await self._verdict(deploy, checked=checked, superseded=superseded)
            await self._ready(deploy)
        if verdict is Verdict.PUBLISHED:
            # Also when it was ready already: who published it may have died before this.
            await self._purge_site(deploy.site_id)
        else:
            if deploy.context is Context.BRANCH:
                await self._purge_tag(deploy.site_id, branch_tag(deploy.site_id, deploy.branch))
            self._events(f"deploy.{verdict}", deploy.id, site=deploy.site_id, number=deploy.number)
        return verdict

    async def _verdict(self, deploy: Deploy, *, checked: bool, superseded: bool) -> Verdict:
        if deploy.context is not Context.PRODUCTION:
            return Verdict.PREVIEW
        if superseded:
            return Verdict.SUPERSEDED
        return await self._make_current(deploy, checked=checked)

    async def _verdict_so_far(self, deploy: Deploy) -> Verdict:
        """Of a deploy that is ready: what became of it stays so."""
        if deploy.context is not Context.PRODUCTION:
            return Verdict.PREVIEW
        site = await self._store.sites.get(deploy.site_id)
        if site.published_deploy_id == deploy.id:
            return Verdict.PUBLISHED
        return Verdict.LOCKED if site.locked else Verdict.SUPERSEDED

    async def _complete(self, deploy: Deploy) -> Deploy:
        """Note when the deploy was completed. Raises: ConflictError when it is over already."""
        if deploy.metadata.tree is None:
            raise ConflictError(f"deploy {deploy.id} has no tree yet: it cannot be published")
        if deploy.metadata.completed_at is not None:
            return deploy
        metadata = deploy.metadata.model_copy(update={"completed_at": self._clock.now()})
        moved = await self._store.deploys.move(
            deploy.id,
            from_states=[DeployState.PROCESSING],
            to=DeployState.PROCESSING,
            metadata=metadata,
        )
        if not moved:
            raise ConflictError(f"deploy {deploy.id} is {deploy.state}, not processing")
        return deploy.model_copy(update={"metadata": metadata})

    async def _ready(self, deploy: Deploy) -> None:
        """The last step; whoever else goes on with the same deploy may have taken it already."""
        moved = await self._store.deploys.move(
            deploy.id, from_states=[DeployState.PROCESSING], to=DeployState.READY
        )
        if moved:
            self._events("deploy.ready", deploy.id, site=deploy.site_id, number=deploy.number)

    async def _make_current(self, deploy: Deploy, *, checked: bool) -> Verdict:
        """Compare-and-set the site until it shows this deploy or showed a newer one."""
        while True:
            site = await self._store.sites.get(deploy.site_id)
            if site.published_deploy_id == deploy.id:
                return Verdict.PUBLISHED
            if site.locked:
                return Verdict.LOCKED
            if site.newest_published >= deploy.number:
                return Verdict.SUPERSEDED
            if await self._store.sites.publish(site, deploy.id, deploy.number):
                break
        self._events(
            "site.published",
            site.id,
            deploy=deploy.id,
            number=deploy.number,
            instead=site.published_deploy_id,
            checked=checked,
        )
        return Verdict.PUBLISHED

    async def _current(self, site: Site) -> Deploy | InvalidDeploy | None:
        if site.published_deploy_id is None:
            return None
        return await self._store.deploys.find(site.published_deploy_id)

    async def _purge_site(self, site_id: str) -> None:
        await self._purge_tag(site_id, site_tag(site_id))

    async def _purge_tag(self, site_id: str, tag: str) -> None:
        try:
            await self._purge([tag])
        except HopError as error:
            self._events("purge.failed", site_id, error=error.message)


def newest_good(deploys: list[Deploy | InvalidDeploy]) -> Deploy | None:
    """The first ready and valid one of a site's deploys, given newest first."""
    for deploy in deploys:
        if isinstance(deploy, Deploy) and deploy.state is DeployState.READY:
            return deploy
    return None
