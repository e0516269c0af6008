"""What clients send to the API: bodies that are checked before anything happens."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from blackstart.model import Plan


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CreateSite(_Body):
    """A new site; its name becomes a host name."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    plan: Plan = Plan.FREE
    repo_url: Annotated[str, Field(pattern=r"^[\x21-\x7e][\x20-\x7e\u00a0-\ud7ff]{0,1999}$")]
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]{0,200}$")] = "main"


class StartBuild(_Body):
    """A build of the branch head, or of one commit by its full id."""

    commit_ref: Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")] | None = None
