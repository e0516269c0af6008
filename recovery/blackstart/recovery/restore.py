"""Bringing back what broke: metadata from a snapshot, or a site back to its last good deploy."""

from __future__ import annotations

from typing import Any

from blackstart.control.publish import Publisher, newest_good
from blackstart.errors import ConflictError, NotFoundError
from blackstart.events import Events
from blackstart.model import Deploy, InvalidDeploy, Site, parse_deploy
from blackstart.store import MetadataStore


async def restore_metadata(
    store: MetadataStore, broken: InvalidDeploy, backup: dict[str, Any], events: Events
) -> bool:
    """Put one deploy's metadata back as the backup has it.

    Compares before it sets: False, and nothing changed, when the deploy is
    not what it was when found broken. Raises: ConflictError when the backup
    has another deploy, or one that is broken as well.
    """
    if backup["_id"] != broken.id or backup["site_id"] != broken.site_id:
        raise ConflictError(f"the backup's document is not deploy {broken.id}")
    metadata = backup.get("metadata")
    if isinstance(parse_deploy({**broken.raw, "metadata": metadata}), InvalidDeploy):
        raise ConflictError(f"the backup's metadata does not make deploy {broken.id} valid")
    restored = await store.deploys.replace_metadata(
        broken.id, seen=broken.raw.get("metadata"), metadata=metadata
    )
    if restored:
        events("deploy.restored", broken.id, site=broken.site_id)
    return restored


async def revert_site(store: MetadataStore, publisher: Publisher, site: Site) -> Deploy:
    """Show a site's newest good deploy instead of the broken one.

    Raises: NotFoundError when the site has no good deploy left.
    """
    good = newest_good(await store.deploys.of_site(site.id))
    if good is None:
        raise NotFoundError(f"site {site.name} has no good deploy left: it is lost")
    await publisher.revert(site.id, good.id)
    return good
