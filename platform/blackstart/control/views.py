"""Documents as the API and the web pages show them."""

from __future__ import annotations

from typing import Any

from blackstart.control.deploys import valid
from blackstart.model import Build, Deploy, InvalidDeploy, Site
from blackstart.safeguards import Safeguards
from blackstart.store import MetadataStore


class Views:
    """Turns documents into JSON-ready dicts.

    Without `tolerant-api` a view that includes an invalid deploy raises
    InvalidDeployError, and with it the whole response fails, as in 2017.
    """

    def __init__(self, store: MetadataStore, safeguards: Safeguards) -> None:
        self._store = store
        self._safeguards = safeguards

    def deploy(self, deploy: Deploy | InvalidDeploy) -> dict[str, Any]:
        if isinstance(deploy, InvalidDeploy) and "tolerant-api" in self._safeguards:
            return {
                "id": deploy.id,
                "site_id": deploy.site_id,
                "number": deploy.number,
                "state": "invalid",
                "error_message": deploy.reason,
            }
        known = valid(deploy)
        return {
            "id": known.id,
            "site_id": known.site_id,
            "number": known.number,
            "state": known.state.value,
            "branch": known.branch,
            "commit_ref": known.commit_ref,
            "build_id": known.build_id,
            "created_at": known.created_at.isoformat(),
            "published_at": (
                known.metadata.completed_at.isoformat() if known.metadata.completed_at else None
            ),
            "tree": known.metadata.tree,
            "file_count": known.metadata.file_count,
            "byte_count": known.metadata.byte_count,
            "required": known.metadata.pending_uploads,
        }

    async def sites(self, sites: list[Site]) -> list[dict[str, Any]]:
        """Each site with its published deploy."""
        published = await self._store.deploys.many(
            site.published_deploy_id for site in sites if site.published_deploy_id
        )
        return [self._site(site, published) for site in sites]

    async def site(self, site: Site) -> dict[str, Any]:
        return (await self.sites([site]))[0]

    def _site(self, site: Site, published: dict[str, Deploy | InvalidDeploy]) -> dict[str, Any]:
        deploy = published.get(site.published_deploy_id or "")
        return {
            "id": site.id,
            "name": site.name,
            "plan": site.plan.value,
            "repo_url": site.repo.url if site.repo else None,
            "branch": site.repo.branch if site.repo else None,
            "locked": site.locked,
            "created_at": site.created_at.isoformat(),
            "published_deploy": self.deploy(deploy) if deploy else None,
        }

    def build(self, build: Build) -> dict[str, Any]:
        return {
            "id": build.id,
            "site_id": build.site_id,
            "deploy_id": build.deploy_id,
            "commit_ref": build.commit_ref,
            "branch": build.branch,
            "state": build.state.value,
            "error": build.error,
            "log": build.log,
            "created_at": build.created_at.isoformat(),
        }
