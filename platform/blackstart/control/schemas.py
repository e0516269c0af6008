"""What the API answers: the shapes that clients of Netlify's API read, and ours beside them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel


class BuildSettings(BaseModel):
    """Where a site's source is."""

    repo_url: str | None
    repo_branch: str | None


class DeployLinks(BaseModel):
    """A deploy's own address, and that of its branch, which shows the newest deploy of it."""

    permalink: str
    alias: str | None


class DeployOut(BaseModel):
    """A deploy. `state` `invalid` means that its metadata cannot be read: the rest is then null.

    A cancelled deploy says `error`, the only end that clients wait for besides `ready`.
    """

    id: str
    site_id: str
    number: int
    state: str
    cancelled: bool = False
    build_id: str | None = None
    name: str | None = None
    url: str | None = None
    ssl_url: str | None = None
    admin_url: str | None = None
    deploy_url: str | None = None
    deploy_ssl_url: str | None = None
    links: DeployLinks | None = None
    context: str | None = None
    draft: bool | None = None
    branch: str | None = None
    title: str | None = None
    commit_ref: str | None = None
    error_message: str | None = None
    locked: bool | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    published_at: datetime | None = None
    tree: str | None = None
    file_count: int | None = None
    byte_count: int | None = None
    required: list[str] | None = None


class SiteOut(BaseModel):
    """A site with the deploy it shows."""

    id: str
    name: str
    state: str = "current"
    plan: str
    url: str
    ssl_url: str
    admin_url: str
    custom_domain: str | None = None
    account_slug: str | None = None
    created_at: datetime
    updated_at: datetime
    locked: bool
    repo_url: str | None
    branch: str | None
    build_settings: BuildSettings
    published_deploy: DeployOut | None


class FileOut(BaseModel):
    """One file of a deploy; `size` in bytes."""

    id: str
    path: str
    sha: str
    mime_type: str
    size: int | None


class BuildOut(BaseModel):
    """A build without its log; `done` is true once nothing more will happen to it.

    `state` `invalid` means that its document cannot be read: `error` says why, the rest is null.
    """

    id: str
    site_id: str
    deploy_id: str | None = None
    sha: str | None = None
    commit_ref: str | None = None
    pinned: bool | None = None
    branch: str | None = None
    title: str | None = None
    state: str
    done: bool
    error: str | None = None
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


class BuildDetail(BuildOut):
    """A build with its log, line by line."""

    log: list[str]


class BuildHookOut(BaseModel):
    """A build hook; its `secret` is shown once, when it is made."""

    id: str
    title: str
    branch: str
    url: str
    site_id: str
    created_at: datetime
    signed: bool
    secret: str | None = None


class BranchOut(BaseModel):
    """A branch with its newest ready deploy."""

    id: str
    deploy_id: str
    name: str
    slug: str
    url: str
    ssl_url: str


class Accepted(BaseModel):
    """Done as far as this side is concerned."""

    ok: bool = True
