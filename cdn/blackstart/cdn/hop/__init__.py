"""The hop to the origin as an object: sockets in production, a function call in a drill."""

from blackstart.cdn.hop.call import AsgiCallable, AsgiHop, Event, Receive, Scope, Send
from blackstart.cdn.hop.failures import UnansweredError, UnreachableError
from blackstart.cdn.hop.hop import Hop
from blackstart.cdn.hop.sockets import SocketHop

__all__ = [
    "AsgiCallable",
    "AsgiHop",
    "Event",
    "Hop",
    "Receive",
    "Scope",
    "Send",
    "SocketHop",
    "UnansweredError",
    "UnreachableError",
]
