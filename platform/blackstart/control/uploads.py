"""Which announced files a client still has to send: the upload planner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from blackstart.model import DeployState, ManifestFile
from blackstart.safeguards import Safeguards
from blackstart.store import MetadataStore, ObjectStore


@dataclass(frozen=True)
class UploadPlan:
    """`required` digests, sorted; and the sizes in bytes of those known to be stored."""

    required: list[str]
    sizes: dict[str, int]


async def plan_uploads(
    files: Sequence[ManifestFile],
    *,
    site_id: str,
    deploy_id: str,
    store: MetadataStore,
    objects: ObjectStore,
    safeguards: Safeguards,
) -> UploadPlan:
    """Find the distinct digests of `files` that are not stored yet.

    With `verified-uploads` the object store is asked. Without it metadata is
    trusted, as in 2017: a digest counts as stored when another deploy of the
    site lists it and has no pending uploads. Metadata that was overwritten
    has none either, which is the review's secondary issue. A deploy that is
    still new does not know yet what it waits for, and is not trusted.
    """
    wanted = sorted({file.sha1 for file in files})
    if "verified-uploads" in safeguards:
        sizes = await objects.stat_blobs(wanted)
        return UploadPlan([sha1 for sha1 in wanted if sha1 not in sizes], sizes)
    trusted: dict[str, int] = {}
    stored: set[str] = set()
    async for raw, manifest in store.deploys.listing_digests(site_id, but=deploy_id):
        announced = raw.get("state") != DeployState.NEW
        if announced and not _says_pending(raw.get("metadata")):
            stored.update(file.sha1 for file in manifest.files)
            trusted.update(
                (file.sha1, file.size) for file in manifest.files if file.size is not None
            )
    return UploadPlan([sha1 for sha1 in wanted if sha1 not in stored], trusted)


def _says_pending(metadata: Any) -> bool:
    """Damaged metadata can be anything at all; what is no document names no pending uploads."""
    return isinstance(metadata, dict) and bool(metadata.get("pending_uploads"))
