"""`blackstart serve`: one role of the platform as a server of its own."""

from __future__ import annotations

import fcntl
import os
from contextlib import AsyncExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from blackstart.settings import Settings


class Role(StrEnum):
    """What a server can be."""

    CONTROL = "control"
    ORIGIN = "origin"
    NODE = "node"
    WORKER = "worker"
    SNAPSHOTS = "snapshots"


HEALTH_PATHS = {
    Role.CONTROL: "/healthz",
    Role.ORIGIN: "/.blackstart/healthz",
    Role.NODE: "/.blackstart/healthz",
    Role.WORKER: "/.blackstart/healthz",
    Role.SNAPSHOTS: "/.blackstart/healthz",
}


def serve(
    role: Annotated[Role, typer.Argument(metavar="ROLE", help="What to be.")],
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where to listen; port 0 takes a free one.  [dim]BLACKSTART_LISTEN[/]",
            show_default=False,
        ),
    ] = None,
    hold: Annotated[
        Path | None, typer.Option(hidden=True, help="A file to keep locked while running.")
    ] = None,
) -> None:
    """Run one role as a server. Its settings are the BLACKSTART_* variables of docs/servers.md."""
    from blackstart import service
    from blackstart.settings import Settings, load

    settings = load(Settings)
    service.configure_logs(settings.log_level, settings.log_format)
    if hold is not None:
        _hold(hold)
    sock = service.bind(settings.listen if listen is None else listen)
    with sock:
        service.run(_serve(role, settings, sock))


async def _serve(role: Role, settings: Settings, sock: socket.socket) -> None:
    from blackstart.service import serve_http

    def ready(url: str) -> None:
        print(f"{role} listening on {url}", flush=True)

    async with AsyncExitStack() as stack:
        match role:
            case Role.CONTROL:
                from blackstart.control.service import control_service

                control = await stack.enter_async_context(control_service(settings))
                await serve_http(control, sock, ready=ready)
            case Role.ORIGIN:
                from blackstart.origin.service import origin_service

                origin = await stack.enter_async_context(origin_service(settings))
                await serve_http(origin, sock, ready=ready)
            case Role.NODE:
                await _serve_node(settings, sock, ready)
            case Role.WORKER:
                from blackstart.builder.service import worker_service

                worker = await stack.enter_async_context(worker_service(settings))
                await serve_http(worker.app, sock, ready=ready, work=worker.work)
            case Role.SNAPSHOTS:
                await _serve_snapshots(stack, sock, ready)


async def _serve_node(
    settings: Settings, sock: socket.socket, ready: Callable[[str], None]
) -> None:
    from blackstart.cdn.serving import serve_node
    from blackstart.cdn.settings import CdnSettings
    from blackstart.settings import load

    node = load(CdnSettings)
    if "stale-if-error" not in settings.switches():
        node.stale_if_error = False
    await serve_node(node, sock, ready=ready)


async def _serve_snapshots(
    stack: AsyncExitStack, sock: socket.socket, ready: Callable[[str], None]
) -> None:
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.recovery.snapshots.service import snapshot_service
    from blackstart.service import serve_http
    from blackstart.settings import load

    snapshots = await stack.enter_async_context(snapshot_service(load(RecoverySettings)))
    await serve_http(snapshots.app, sock, ready=ready, work=snapshots.work)


def _hold(path: Path) -> None:
    """Keep a shared lock for as long as this process lives: the kernel lets go of it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
