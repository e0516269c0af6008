"""Single questions about what is broken, for who has one: all answers are held in memory."""

from __future__ import annotations

from datetime import datetime

from blackstart.model import InvalidDeploy, Site
from blackstart.recovery.find.findings import MissingFiles
from blackstart.recovery.find.search import Look, find
from blackstart.recovery.find.sites import sla_order
from blackstart.store import MetadataStore, ObjectStore


async def broken_deploys(store: MetadataStore) -> list[InvalidDeploy]:
    """Every deploy whose metadata does not validate, in `_id` order."""
    return [deploy async for deploy in store.deploys.scan() if isinstance(deploy, InvalidDeploy)]


async def sites_down(store: MetadataStore, broken: list[InvalidDeploy]) -> list[Site]:
    """Sites whose published deploy is among the broken ones: Enterprise, Global, then the rest."""
    ids = {deploy.id for deploy in broken}
    down = [site for site in await store.sites.all() if site.published_deploy_id in ids]
    return sla_order(down)


async def missing_files(
    store: MetadataStore, objects: ObjectStore, *, since: datetime
) -> list[MissingFiles]:
    """Ready deploys made at or after `since` that list files which never arrived.

    The object store is asked for every digest; metadata is not trusted.
    """
    look = Look(since=since, responses=False)
    return [each async for each in find(store, objects, look) if isinstance(each, MissingFiles)]
