"""What a server is told at its start: every setting is one `BLACKSTART_*` environment variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from blackstart.errors import UsageError
from blackstart.repositories import RepositoryPolicy
from blackstart.safeguards import Safeguards

PREFIX = "BLACKSTART_"
SEE = "docs/servers.md lists the settings"

S = TypeVar("S", bound=BaseSettings)


class Settings(BaseSettings):
    """The settings that the roles share. A role asks for those it cannot do without."""

    model_config = SettingsConfigDict(env_prefix=PREFIX)

    mongodb_uri: str = ""
    database: str = Field(default="blackstart", pattern=r"^[A-Za-z0-9_-]{1,60}$")
    object_store: str = ""
    node_urls: Annotated[list[str], NoDecode] = []
    purge_token: SecretStr = SecretStr("")
    node_lease_s: float = Field(default=15.0, ge=1.0, le=3_600.0)
    rate_limit: int = Field(default=600, ge=0)
    listen: str = "127.0.0.1:8000"
    public_url: str = Field(default="", pattern=r"^(https?://[^/?#@\s]+)?$")
    safeguards: str = "all"
    domain: str = Field(default="localhost", pattern=r"^[a-z0-9][a-z0-9.-]*$")
    git_cache: Path = Path(".blackstart/git")
    pointer_log: Path = Path(".blackstart/pointer-log")
    lease_s: float = Field(default=60.0, ge=1.0, le=3_600.0)
    repo_folders: Annotated[list[Path], NoDecode] = []
    build_commands: bool = False
    build_time_s: int = Field(default=900, ge=1, le=86_400)
    build_memory_mb: int = Field(default=2048, ge=64)
    # The output ends in the build's document, and MongoDB takes 16 MB of one.
    build_output_kb: int = Field(default=1024, ge=1, le=4096)
    build_file_mb: int = Field(default=1024, ge=1)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "pretty"] = "auto"

    @field_validator("node_urls", "repo_folders", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [item.strip() for item in value.split(",") if item.strip()]
        return value

    @field_validator("repo_folders")
    @classmethod
    def _are_absolute(cls, folders: list[Path]) -> list[Path]:
        for folder in folders:
            if not folder.is_absolute():
                raise ValueError(f"not an absolute folder: {str(folder)!r}")
        return folders

    @field_validator("node_urls")
    @classmethod
    def _are_urls(cls, urls: list[str]) -> list[str]:
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"not an HTTP address: {url!r}")
        return urls

    def sites_url(self) -> str:
        """Where visitors reach the sites' domain."""
        return self.public_url or f"http://{self.domain}"

    def switches(self) -> Safeguards:
        """The safeguards that are on. Raises: UsageError for an unknown one."""
        return Safeguards.parse(self.safeguards)

    def repository_policy(self) -> RepositoryPolicy:
        """Which repository addresses are taken."""
        return RepositoryPolicy(self.repo_folders)

    def needed_mongodb_uri(self) -> str:
        """Raises: UsageError when no database is named."""
        if not self.mongodb_uri:
            raise UsageError(
                "this role needs a database",
                hint="set BLACKSTART_MONGODB_URI or use `blackstart up`",
            )
        return self.mongodb_uri

    def needed_object_store(self) -> str:
        """Raises: UsageError when no object store is named, or one that no other process sees."""
        hint = "set BLACKSTART_OBJECT_STORE to a folder or s3://bucket, or use `blackstart up`"
        if not self.object_store:
            raise UsageError("this role needs an object store", hint=hint)
        if self.object_store.startswith("memory:"):
            raise UsageError("an object store in memory is seen by one process only", hint=hint)
        return self.object_store

    def needed_purge_token(self) -> str:
        """What a purge presents; may be blank when there are no nodes. Raises: UsageError."""
        token = self.purge_token.get_secret_value()
        if self.node_urls and not token:
            raise UsageError(
                "the nodes in BLACKSTART_NODE_URLS want a token", hint="set BLACKSTART_PURGE_TOKEN"
            )
        return token


def load(kind: type[S], called: Mapping[str, str] | None = None, /, **given: Any) -> S:
    """Settings from the environment, but for what is given; `called` tells under which name it was.

    Raises: UsageError that names what is at fault.
    """
    try:
        return kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        option = (called or {}).get(name, name) if name in given else None
        variable = option or PREFIX + name.upper()
        if first["type"] == "missing":
            raise UsageError(f"{variable} is not set", hint=SEE) from error
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{variable}: {reason}", hint="" if option else SEE) from error
    except SettingsError as error:
        # It says which field, but not how that is called, nor that JSON is wanted there.
        field = re.search(r'field "(\w+)"', str(error))
        which = PREFIX + field[1].upper() if field else "a setting"
        raise UsageError(f"{which}: it is no JSON", hint=SEE) from error
