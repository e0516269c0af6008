"""What recovery is told: a role's settings, the key of sealed snapshots, when to take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr, field_validator

from blackstart.errors import UsageError
from blackstart.settings import Settings

if TYPE_CHECKING:
    from blackstart.recovery.snapshots import Every, Keep, Sealer


class RecoverySettings(Settings):
    """The shared settings, and those of recovery alone."""

    snapshot_key: SecretStr = SecretStr("")
    snapshot_every: str = ""
    snapshot_keep: str = ""

    @field_validator("snapshot_every")
    @classmethod
    def _is_an_interval(cls, text: str) -> str:
        from blackstart.recovery.snapshots import Every

        try:
            return str(Every.parse(text)) if text else ""
        except UsageError as error:
            raise ValueError(str(error)) from error

    @field_validator("snapshot_keep")
    @classmethod
    def _is_a_rule(cls, text: str) -> str:
        from blackstart.recovery.snapshots import Keep

        try:
            return str(Keep.parse(text)) if text else ""
        except UsageError as error:
            raise ValueError(str(error)) from error

    def sealer(self) -> Sealer | None:
        """Raises: UsageError for a key that is none."""
        from blackstart.recovery.snapshots import Sealer

        key = self.snapshot_key.get_secret_value()
        return Sealer.from_text(key) if key else None

    def every(self) -> Every:
        """How often a snapshot is taken: as set, else by the safeguard. Raises: UsageError."""
        from blackstart.recovery.snapshots import Every
        from blackstart.recovery.snapshots.intervals import DAILY, FREQUENT

        if self.snapshot_every:
            return Every.parse(self.snapshot_every)
        return FREQUENT if "frequent-snapshots" in self.switches() else DAILY

    def keep(self) -> Keep | None:
        """Which snapshots a schedule keeps; None for all."""
        from blackstart.recovery.snapshots import Keep

        return Keep.parse(self.snapshot_keep) if self.snapshot_keep else None
