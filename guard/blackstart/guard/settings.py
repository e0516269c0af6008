"""What a guard is told at its start, beside the settings that all servers share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from blackstart.errors import UsageError
from blackstart.guard.gate import WAIT_S
from blackstart.guard.proxy.server import MAX_CONNECTIONS
from blackstart.settings import Settings

ANYWHERE = frozenset({"0.0.0.0", "::", ""})


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

    @field_validator("guard_redact", mode="before")
    @classmethod
    def _split_fields(cls, value: object) -> object:
        if isinstance(value, str):
            return [item.strip() for item in value.split(",") if item.strip()]
        return value

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
