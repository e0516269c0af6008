"""Publishing: the check against older work, and the atomic write that makes a deploy current."""

from __future__ import annotations

from enum import StrEnum

from blackstart.clock import Clock
from blackstart.control.deploys import valid
from blackstart.control.purge import Purge, site_tag
from blackstart.errors import ConflictError, HopError, PublishCheckError
from blackstart.events import Events
from blackstart.model import Deploy, DeployState, InvalidDeploy, Site
from blackstart.safeguards import Safeguards
from blackstart.store import MetadataStore


class Verdict(StrEnum):
    """What became of a deploy that wanted to be published."""

    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    LOCKED = "locked"


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

        Raises: PublishCheckError when the check cannot compare: the deploy
        then stays processing, whole but stuck, until `push`.
        """
        deploy = valid(await self._store.deploys.get(deploy_id))
        superseded = await self._is_superseded(deploy)
        deploy = await self._complete(deploy)
        if superseded:
            return self._not_published(deploy, Verdict.SUPERSEDED)
        return await self._make_current(deploy, checked=True)

    async def push(self, deploy_id: str) -> Verdict:
        """Push a stuck deploy through: as `publish`, without the check that failed."""
        deploy = valid(await self._store.deploys.get(deploy_id))
        return await self._make_current(await self._complete(deploy), checked=False)

    async def revert(self, site_id: str, deploy_id: str) -> None:
        """Make an older, ready deploy the site's current one, on purpose.

        Raises: InvalidDeployError; ConflictError when it is not a ready deploy of
        the site, or the site's current deploy changed meanwhile.
        """
        site = await self._store.sites.get(site_id)
        deploy = valid(await self._store.deploys.get(deploy_id))
        if deploy.site_id != site_id or deploy.state is not DeployState.READY:
            raise ConflictError(f"deploy {deploy_id} is not a ready deploy of site {site.name}")
        if not await self._swap(site, deploy):
            raise ConflictError(f"site {site.name} was published meanwhile", hint="look again")
        self._events("site.reverted", site_id, deploy=deploy_id, instead=site.published_deploy_id)
        await self._purge_site(site_id)

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
            if "tolerant-publish" not in self._safeguards:
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

    async def _complete(self, deploy: Deploy) -> Deploy:
        if deploy.state is DeployState.READY:
            return deploy
        if deploy.metadata.tree is None:
            raise ConflictError(f"deploy {deploy.id} has no tree yet: it cannot be published")
        metadata = deploy.metadata.model_copy(update={"completed_at": self._clock.now()})
        moved = await self._store.deploys.move(
            deploy.id,
            from_states=[DeployState.PROCESSING],
            to=DeployState.READY,
            metadata=metadata,
        )
        if not moved:
            raise ConflictError(f"deploy {deploy.id} is {deploy.state}, not processing")
        self._events("deploy.ready", deploy.id, site=deploy.site_id, number=deploy.number)
        return deploy.model_copy(update={"state": DeployState.READY, "metadata": metadata})

    async def _make_current(self, deploy: Deploy, *, checked: bool) -> Verdict:
        """Compare-and-set the site until it shows this deploy or a newer one."""
        while True:
            site = await self._store.sites.get(deploy.site_id)
            if site.published_deploy_id == deploy.id:
                return Verdict.PUBLISHED
            if site.locked:
                return self._not_published(deploy, Verdict.LOCKED)
            if await self._shows_newer(site, deploy):
                return self._not_published(deploy, Verdict.SUPERSEDED)
            if await self._swap(site, deploy):
                break
        self._events(
            "site.published",
            site.id,
            deploy=deploy.id,
            number=deploy.number,
            instead=site.published_deploy_id,
            checked=checked,
        )
        await self._purge_site(site.id)
        return Verdict.PUBLISHED

    async def _shows_newer(self, site: Site, deploy: Deploy) -> bool:
        """A deploy's number stands outside its metadata, so this holds for invalid ones too."""
        if site.published_deploy_id is None:
            return False
        current = await self._store.deploys.find(site.published_deploy_id)
        return current is not None and current.number > deploy.number

    async def _swap(self, site: Site, deploy: Deploy) -> bool:
        return await self._store.sites.publish(
            site.id, deploy.id, instead_of=site.published_deploy_id
        )

    async def _purge_site(self, site_id: str) -> None:
        try:
            await self._purge([site_tag(site_id)])
        except HopError as error:
            self._events("purge.failed", site_id, error=error.message)

    def _not_published(self, deploy: Deploy, verdict: Verdict) -> Verdict:
        self._events(f"deploy.{verdict}", deploy.id, site=deploy.site_id, number=deploy.number)
        return verdict


def newest_good(deploys: list[Deploy | InvalidDeploy]) -> Deploy | None:
    """The first ready and valid one of a site's deploys, given newest first."""
    for deploy in deploys:
        if isinstance(deploy, Deploy) and deploy.state is DeployState.READY:
            return deploy
    return None
