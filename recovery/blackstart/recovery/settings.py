"""What the recovery commands are told: a role's settings, and the key of sealed snapshots."""

from __future__ import annotations

from pydantic import SecretStr

from blackstart.settings import Settings


class RecoverySettings(Settings):
    """The shared settings, and those of recovery alone."""

    snapshot_key: SecretStr = SecretStr("")
