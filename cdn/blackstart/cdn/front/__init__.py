"""The node's own HTTP/1.1 server: reads requests strictly and answers hits without a task."""

from blackstart.cdn.front.access_log import AccessLog
from blackstart.cdn.front.limits import Limits
from blackstart.cdn.front.server import Front
from blackstart.cdn.front.shared import Handler
from blackstart.cdn.front.trust import TrustedPeers

__all__ = ["AccessLog", "Front", "Handler", "Limits", "TrustedPeers"]
