"""A node as a server: its front, its cache and its hop, from start to orderly end."""

from __future__ import annotations

import socket
from collections.abc import Callable

from blackstart.cdn.descriptors import limits_by_descriptors
from blackstart.cdn.front import AccessLog, Front, TrustedPeers
from blackstart.cdn.settings import CdnSettings, build_app, networks_of
from blackstart.clock import Clock
from blackstart.errors import StorageError

DRAIN_S = 10.0
"""How long answers under way may take to go out once the node was asked to stop."""


def access_log_of(settings: CdnSettings, clock: Clock) -> AccessLog | None:
    """The access log that is wanted, if one is."""
    if settings.access_log is None:
        return None
    return AccessLog(clock, None if str(settings.access_log) == "-" else settings.access_log)


async def serve_node(
    settings: CdnSettings, sock: socket.socket, *, ready: Callable[[str], None]
) -> None:
    """Serve on a bound socket until cancelled; `ready` is told the node's URL.

    Raises: StorageError when the cache folder cannot be used; UsageError when another node
    has it, or a PROXY header is wanted of nobody.
    """
    networks = networks_of(settings.trusted_peers)
    trusted = TrustedPeers.of(networks, proxy_protocol=settings.proxy_protocol)
    app = build_app(settings)
    try:
        await app.node.start()
    except OSError as error:
        raise StorageError(f"the node cannot use its cache folder: {error}") from error
    host, port = sock.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    log = access_log_of(settings, app.node.clock)
    front = Front(
        app, app.node.clock, limits=limits_by_descriptors(), trusted=trusted, access_log=log
    )
    app.node.metrics.gauge("connections", "Connections of visitors", lambda: front.connections)
    try:
        await front.run(sock, DRAIN_S, lambda: ready(url))
    finally:
        await app.node.close()
        if log is not None:
            log.close()
