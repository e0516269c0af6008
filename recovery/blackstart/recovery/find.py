"""Finding what is broken: damaged deploys, sites down because of them, files that never arrived."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from blackstart.errors import DigestMismatchError, ObjectNotFoundError
from blackstart.model import Deploy, DeployState, InvalidDeploy, Site
from blackstart.store import MetadataStore, ObjectStore


async def broken_deploys(store: MetadataStore) -> list[InvalidDeploy]:
    """Every deploy whose metadata does not validate, in `_id` order."""
    return [deploy async for deploy in store.deploys.scan() if isinstance(deploy, InvalidDeploy)]


async def sites_down(store: MetadataStore, broken: list[InvalidDeploy]) -> list[Site]:
    """Sites whose published deploy is among the broken ones: Enterprise, Global, then the rest."""
    ids = {deploy.id for deploy in broken}
    down = [site for site in await store.sites.all() if site.published_deploy_id in ids]
    return sla_order(down)


def sla_order(sites: list[Site]) -> list[Site]:
    """Who is helped first; by name within a plan."""
    return sorted(sites, key=lambda site: (site.plan.sla_rank, site.name))


@dataclass(frozen=True)
class MissingFiles:
    """A completed deploy that lists files whose bytes the object store does not hold.

    `tree_unreadable` means that even the list is missing or damaged: any file may be.
    """

    site_id: str
    deploy_id: str
    paths: list[str]
    tree_unreadable: bool = False


async def missing_files(
    store: MetadataStore, objects: ObjectStore, *, since: datetime
) -> list[MissingFiles]:
    """Ready deploys made at or after `since` that list files which never arrived.

    The object store is asked for every digest; metadata is not trusted.
    """
    found = []
    known: dict[str, bool] = {}
    async for deploy in store.deploys.scan():
        if not isinstance(deploy, Deploy) or deploy.created_at < since:
            continue
        if deploy.state is not DeployState.READY or deploy.metadata.tree is None:
            continue
        try:
            tree = await objects.get_tree(deploy.metadata.tree)
        except (ObjectNotFoundError, DigestMismatchError):
            found.append(MissingFiles(deploy.site_id, deploy.id, [], tree_unreadable=True))
            continue
        missing = []
        for path, entry in sorted(tree.files.items()):
            if entry.sha1 not in known:
                known[entry.sha1] = await objects.has_blob(entry.sha1)
            if not known[entry.sha1]:
                missing.append(path)
        if missing:
            found.append(MissingFiles(deploy.site_id, deploy.id, missing))
    return found
