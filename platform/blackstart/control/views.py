"""Documents as the API and the web pages show them."""

from __future__ import annotations

from blackstart.control.deploys import valid
from blackstart.control.links import Links
from blackstart.control.schemas import (
    BranchOut,
    BuildDetail,
    BuildHookOut,
    BuildOut,
    BuildSettings,
    DeployLinks,
    DeployOut,
    FileOut,
    SiteOut,
)
from blackstart.errors import InvalidDocumentError
from blackstart.model import (
    Build,
    BuildHook,
    Context,
    Deploy,
    DeployState,
    InvalidBuild,
    InvalidDeploy,
    Site,
    TreeEntry,
)
from blackstart.safeguards import Safeguards
from blackstart.store import MetadataStore
from blackstart.web.content_type import content_type


class Views:
    """Turns documents into answers.

    Without `tolerant-api` a view that includes an invalid deploy or build raises
    InvalidDocumentError, and with it the whole response fails, as in 2017.
    """

    def __init__(self, store: MetadataStore, safeguards: Safeguards, links: Links) -> None:
        self._store = store
        self._safeguards = safeguards
        self._links = links

    def deploy(
        self, deploy: Deploy | InvalidDeploy, site: Site, *, required: list[str] | None = None
    ) -> DeployOut:
        """A deploy of `site`; `required` is what its client still has to send."""
        if isinstance(deploy, InvalidDeploy) and "tolerant-api" in self._safeguards:
            return DeployOut(
                id=deploy.id,
                site_id=deploy.site_id,
                number=deploy.number,
                state="invalid",
                error_message=deploy.reason,
            )
        known = valid(deploy)
        cancelled = known.state is DeployState.CANCELLED
        url, links = self._links.site(site.name), self._deploy_links(known, site)
        deploy_url = links.alias or links.permalink
        return DeployOut(
            id=known.id,
            site_id=known.site_id,
            number=known.number,
            state=DeployState.ERROR.value if cancelled else known.state.value,
            cancelled=cancelled,
            build_id=known.build_id,
            name=site.name,
            url=url,
            ssl_url=url,
            admin_url=self._links.admin(site.name),
            deploy_url=deploy_url,
            deploy_ssl_url=deploy_url,
            links=links,
            context=known.context.value,
            draft=known.context is Context.PREVIEW,
            branch=known.branch,
            title=known.title,
            commit_ref=known.commit_ref,
            error_message=known.error,
            locked=site.locked and site.published_deploy_id == known.id,
            created_at=known.created_at,
            updated_at=known.metadata.completed_at or known.created_at,
            published_at=known.metadata.completed_at,
            tree=known.metadata.tree,
            file_count=known.metadata.file_count,
            byte_count=known.metadata.byte_count,
            required=required or [],
        )

    def _deploy_links(self, deploy: Deploy, site: Site) -> DeployLinks:
        """A branch deploy has its branch's address as well, which the next one takes over."""
        of_branch = deploy.context is Context.BRANCH
        return DeployLinks(
            permalink=self._links.deploy(deploy.id, site.name),
            alias=self._links.branch(deploy.branch, site.name) if of_branch else None,
        )

    async def sites(self, sites: list[Site]) -> list[SiteOut]:
        """Each site with its published deploy."""
        published = await self._store.deploys.many(
            site.published_deploy_id for site in sites if site.published_deploy_id
        )
        return [self._site(site, published) for site in sites]

    async def site(self, site: Site) -> SiteOut:
        return (await self.sites([site]))[0]

    def _site(self, site: Site, published: dict[str, Deploy | InvalidDeploy]) -> SiteOut:
        deploy = published.get(site.published_deploy_id or "")
        repo_url, branch = (site.repo.url, site.repo.branch) if site.repo else (None, None)
        return SiteOut(
            id=site.id,
            name=site.name,
            plan=site.plan.value,
            url=self._links.site(site.name),
            ssl_url=self._links.site(site.name),
            admin_url=self._links.admin(site.name),
            created_at=site.created_at,
            updated_at=site.updated_at or site.created_at,
            locked=site.locked,
            repo_url=repo_url,
            branch=branch,
            build_settings=BuildSettings(repo_url=repo_url, repo_branch=branch),
            published_deploy=self.deploy(deploy, site) if deploy else None,
        )

    def build(self, build: Build | InvalidBuild) -> BuildOut:
        if isinstance(build, InvalidBuild):
            if "tolerant-api" not in self._safeguards:
                raise InvalidDocumentError(f"build {build.id} is invalid: {build.reason}")
            return BuildOut(
                id=build.id,
                site_id=build.site_id,
                state="invalid",
                done=True,
                error=build.reason,
            )
        return BuildOut(
            id=build.id,
            site_id=build.site_id,
            deploy_id=build.deploy_id,
            sha=build.commit_ref,
            commit_ref=build.commit_ref,
            pinned=build.pinned,
            branch=build.branch,
            title=build.title,
            state=build.state.value,
            done=build.state.ended,
            error=build.error,
            created_at=build.created_at,
            started_at=build.started_at,
            ended_at=build.ended_at,
        )

    def build_detail(self, build: Build | InvalidBuild) -> BuildDetail:
        log = build.log if isinstance(build, Build) else []
        return BuildDetail(**self.build(build).model_dump(), log=log)

    def hook(self, hook: BuildHook, *, secret: str | None = None) -> BuildHookOut:
        return BuildHookOut(
            id=hook.id,
            title=hook.title,
            branch=hook.branch,
            url=self._links.hook(hook.id),
            site_id=hook.site_id,
            created_at=hook.created_at,
            signed=hook.secret is not None,
            secret=secret,
        )

    def branch(self, deploy: Deploy, site: Site) -> BranchOut:
        links = self._deploy_links(deploy, site)
        url = links.alias or links.permalink
        return BranchOut(
            id=deploy.id,
            deploy_id=deploy.id,
            name=deploy.branch,
            slug=deploy.branch,
            url=url,
            ssl_url=url,
        )


def file_view(path: str, entry: TreeEntry) -> FileOut:
    """One file of a tree."""
    return FileOut(
        id=f"/{path}",
        path=f"/{path}",
        sha=entry.sha1,
        mime_type=content_type(path),
        size=entry.size,
    )
