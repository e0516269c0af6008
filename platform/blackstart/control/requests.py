"""What clients send to the API: bodies that are checked before anything happens."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from blackstart.model import Context, ManifestFile, Plan
from blackstart.model.manifest import Sha1

MAX_FILES = 100_000


def _else_say(rule: str) -> WrapValidator:
    """What people read when a value does not fit: the rule, instead of its pattern."""

    def check(value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError as error:
            raise ValueError(rule) from error

    return WrapValidator(check)


SiteName = Annotated[
    str,
    Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"),
    _else_say("must be 1 to 63 small letters, digits and dashes, with no dash at either end"),
]
RepoUrl = Annotated[
    str,
    Field(pattern=r"^[\x21-\x7e][\x20-\x7e\u00a0-\ud7ff]{0,1999}$"),
    _else_say("must be an address or a path, of at most 2000 printable characters"),
]
Branch = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}$"),
    _else_say("must be letters, digits, and . _ / - after the first, at most 201 characters"),
]
CommitRef = Annotated[
    str, Field(pattern=r"^[0-9a-f]{7,64}$"), _else_say("must be 7 to 64 small hex digits")
]
Title = Annotated[str, Field(max_length=1_000)]


class _Body(BaseModel):
    """Ours alone: a name that nobody knows is a mistake, and said so."""

    model_config = ConfigDict(extra="forbid")


class _ClientBody(BaseModel):
    """Sent by clients of Netlify's API too, with more than we look at."""

    model_config = ConfigDict(extra="ignore")


class CreateSite(_Body):
    """A new site; its name becomes a host name. Without a repository it takes files only."""

    name: SiteName
    plan: Plan = Plan.FREE
    repo_url: RepoUrl | None = None
    branch: Branch = "main"


class ChangeSite(_Body):
    """What is given is changed."""

    name: SiteName | None = None
    plan: Plan | None = None
    repo_url: RepoUrl | None = None
    branch: Branch | None = None


class CreateDeploy(_ClientBody):
    """A new deploy: a preview as a `draft`, a branch deploy with a `branch` not the site's."""

    files: Annotated[dict[str, Sha1], Field(max_length=MAX_FILES)] | None = None
    draft: StrictBool = False
    branch: Branch | None = None
    title: Title | None = None

    def context(self, site_branch: str) -> Context:
        """What the deploy is for."""
        if self.draft:
            return Context.PREVIEW
        return Context.PRODUCTION if self.branch in (None, site_branch) else Context.BRANCH


class AnnounceFiles(_ClientBody):
    """The files of a deploy: path to SHA-1 digest. What the deploy is for was said before."""

    files: Annotated[dict[str, Sha1], Field(max_length=MAX_FILES)]


class StartBuild(_ClientBody):
    """A build of a branch head, or of one commit. `urgent` goes before others of its plan."""

    commit_ref: CommitRef | None = None
    branch: Branch | None = None
    title: Title | None = None
    clear_cache: StrictBool = False
    urgent: StrictBool = False


class RerunBuild(_ClientBody):
    """The same commit once more."""

    urgent: StrictBool = False


class CreateHook(_ClientBody):
    """A build hook; a `signed` one wants each call signed with its secret (HMAC-SHA256)."""

    title: Annotated[str, Field(min_length=1, max_length=200)] = "build hook"
    branch: Branch | None = None
    signed: StrictBool = False


class PurgeCache(_ClientBody):
    """What nodes forget of a site: the given tags, or everything when none are named."""

    site_id: str | None = None
    site_slug: str | None = None
    cache_tags: Annotated[list[str], Field(max_length=500)] | None = None


def manifest_files(files: dict[str, Any]) -> list[ManifestFile]:
    """The announced files; one slash in front of a path means the site's root as well."""
    return [ManifestFile(path=path.removeprefix("/"), sha1=sha1) for path, sha1 in files.items()]
