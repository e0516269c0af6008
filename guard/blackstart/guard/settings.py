"""What a guard is told at its start, beside the settings that all servers share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from blackstart.errors import UsageError
from blackstart.guard.gate import WAIT_S
from blackstart.guard.proxy.server import MAX_CONNECTIONS
from blackstart.settings import Settings

ANYWHERE = frozenset({"0.0.0.0", "::", ""})
PAGE_ADDRESS = "127.0.0.1:27019"
NO_PAGE = "off"


class GuardSettings(Settings):
    """The shared settings, and those of a guard alone."""

    listen: str = "127.0.0.1:27018"
    guard_data: Path = Path(".blackstart/guard")
    guard_advertise: str = Field(default="", pattern=r"^(\S+:[0-9]{1,5})?$")
    guard_wait_s: float = Field(default=WAIT_S, ge=0.0, le=24 * 3_600.0)
    guard_sign_off: bool = True
    guard_rules: Path | None = None
    guard_redact: Annotated[list[str], NoDecode] = Field(default_factory=list)
    guard_tls_cert: Path | None = None
    guard_max_connections: int = Field(default=MAX_CONNECTIONS, ge=1)
    guard_http: str = PAGE_ADDRESS
    guard_http_url: str = Field(default="", pattern=r"^(https?://[^/?#@\s]+/?)?$")
    guard_webhook: SecretStr = SecretStr("")
    guard_signing_secret: SecretStr = SecretStr("")
    guard_people: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)

    @field_validator("guard_people", mode="before")
    @classmethod
    def _split_people(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [item.partition("=") for item in value.split(",") if item.strip()]
        if not all(user.strip() and login.strip() for user, _, login in pairs):
            raise ValueError("write USER=LOGIN, with commas between")
        return {user.strip(): login.strip() for user, _, login in pairs}

    @field_validator("guard_redact", mode="before")
    @classmethod
    def _split_fields(cls, value: object) -> object:
        if isinstance(value, str):
            return [item.strip() for item in value.split(",") if item.strip()]
        return value

    @property
    def takes_callbacks(self) -> bool:
        """Whether a button that somebody presses in the channel can reach this guard."""
        return self.guard_http != NO_PAGE and bool(self.guard_signing_secret.get_secret_value())

    def objects(self) -> str:
        """The object store that the audit trail goes to: in the guard's folder unless named."""
        return self.object_store or str(self.guard_data / "objects")

    def address(self, host: str, port: int) -> str:
        """Where clients reach a guard that listens there, as HOST:PORT.

        Raises: UsageError for one that listens everywhere, and so cannot know.
        """
        if self.guard_advertise:
            return self.guard_advertise
        if host in ANYWHERE:
            raise UsageError(
                f"clients must be told where a guard that listens on {host} is",
                hint="give --advertise HOST:PORT",
            )
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
