"""The origin: serves a site's files through deploy, pointer, tree and blob."""

from blackstart.origin.app import Origin

__all__ = ["Origin"]
