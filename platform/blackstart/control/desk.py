"""The control plane's desk: everything a route needs to answer, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from blackstart.clock import Clock, Event
from blackstart.control.builds import BuildService
from blackstart.control.deploys import DeployService
from blackstart.control.hooks import HookService
from blackstart.control.incoming import Incoming
from blackstart.control.publish import Publisher
from blackstart.control.purge import Purge
from blackstart.control.tokens import TokenService
from blackstart.errors import NotFoundError
from blackstart.events import Events
from blackstart.model import Deploy, InvalidDeploy, Site
from blackstart.repositories import RepositoryPolicy
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.pointers import PointerLog


@dataclass(frozen=True)
class Desk:
    """Stores, services, time and fresh ids.

    `public_url` is where visitors reach the sites' domain; `spool` a folder for zip files
    on their way, the system's temporary one by default.
    """

    store: MetadataStore
    objects: ObjectStore
    deploys: DeployService
    publisher: Publisher
    builds: BuildService
    incoming: Incoming
    hooks: HookService
    tokens: TokenService
    purge: Purge
    events: Events
    policy: RepositoryPolicy
    clock: Clock
    seed: Seed
    public_url: str = "http://localhost"
    spool: Path | None = None

    async def site(self, name_or_id: str) -> Site:
        """A site by its id, else by its name. Raises: NotFoundError."""
        store = self.store.sites
        site = await store.find(name_or_id) or await store.by_name(name_or_id)
        if site is None:
            raise NotFoundError(f"no site {name_or_id!r}", hint="GET /sites lists them")
        return site

    async def deploy_of(self, site: Site, deploy_id: str) -> Deploy | InvalidDeploy:
        """A deploy of that site. Raises: NotFoundError, for another site's too."""
        deploy = await self.store.deploys.find(deploy_id)
        if deploy is None or deploy.site_id != site.id:
            raise NotFoundError(f"site {site.name} has no deploy {deploy_id!r}")
        return deploy


def open_desk(
    store: MetadataStore,
    objects: ObjectStore,
    purge: Purge,
    *,
    clock: Clock,
    seed: Seed,
    safeguards: Safeguards,
    events: Events,
    policy: RepositoryPolicy,
    doorbell: Event | None = None,
    public_url: str = "http://localhost",
    pointers: PointerLog | None = None,
) -> Desk:
    """Put the control plane's services together over its stores.

    `doorbell` wakes workers in this process; those elsewhere look by themselves.
    `pointers` may be None only where the safeguard `pointer-log` is never on.
    """
    publisher = Publisher(store, purge, clock=clock, safeguards=safeguards, events=events)
    deploys = DeployService(
        store,
        objects,
        clock=clock,
        seed=seed.fork("deploys"),
        safeguards=safeguards,
        events=events,
        pointers=pointers,
    )
    builds = BuildService(
        store,
        publisher,
        clock=clock,
        seed=seed.fork("builds"),
        safeguards=safeguards,
        events=events,
        doorbell=doorbell,
    )
    return Desk(
        store=store,
        objects=objects,
        deploys=deploys,
        publisher=publisher,
        builds=builds,
        incoming=Incoming(store, deploys, publisher),
        hooks=HookService(store, builds, clock=clock, seed=seed.fork("hooks")),
        tokens=TokenService(store, clock, seed.fork("tokens")),
        purge=purge,
        events=events,
        policy=policy,
        clock=clock,
        seed=seed.fork("api"),
        public_url=public_url,
    )
