"""The hop to the origin as an object: sockets in production, a function call in a drill."""

from blackstart.cdn.hop.breaker import Breaker, State
from blackstart.cdn.hop.call import AsgiCallable, AsgiHop, Event, Receive, Scope, Send
from blackstart.cdn.hop.failures import (
    CrowdedError,
    UnansweredError,
    UnreachableError,
    UnsendableError,
)
from blackstart.cdn.hop.guarded import GuardedHop, ShutError
from blackstart.cdn.hop.hop import Hop
from blackstart.cdn.hop.retry import RetryingHop
from blackstart.cdn.hop.sockets import SocketHop

__all__ = [
    "AsgiCallable",
    "AsgiHop",
    "Breaker",
    "CrowdedError",
    "Event",
    "GuardedHop",
    "Hop",
    "Receive",
    "RetryingHop",
    "Scope",
    "Send",
    "ShutError",
    "SocketHop",
    "State",
    "UnansweredError",
    "UnreachableError",
    "UnsendableError",
]
