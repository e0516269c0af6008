"""How many visitors the open files of this process suffice for.

Who comes by the thousand must not take the descriptors that bodies on disk are read
with and the origin is asked by: those would seem lost, and the origin unreachable.
"""

from __future__ import annotations

import resource
from contextlib import suppress

import structlog

from blackstart.cdn.front.limits import Limits

log = structlog.get_logger(__name__)

# A visitor takes a socket, and a file while a long body goes out.
_EACH = 2
# Connections to the origin, the index, files that are read for a moment, refused clients.
_RESERVED = 256 + 128


def limits_by_descriptors() -> Limits:
    """The front's limits, with no more connections than can be served.

    The soft limit of this process is raised as far as that needs and is allowed.
    """
    wanted = _EACH * Limits().connections + _RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if resource.RLIM_INFINITY != soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return Limits()
    connections = within(soft)
    if connections < Limits().connections_per_client:  # One client alone could take all.
        log.warning(
            "few visitors can be served at a time", connections=connections, open_files=soft
        )
    return Limits(connections=connections)


def within(descriptors: int) -> int:
    """How many connections to accept with so many descriptors."""
    return max(1, min((descriptors - _RESERVED) // _EACH, Limits().connections))
