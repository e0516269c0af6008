"""A snapshot mounted: MongoDB's protocol over it, read-only, without a restore."""

from blackstart.recovery.mount.server import Mount
from blackstart.recovery.mount.source import Source

__all__ = ["Mount", "Source"]
