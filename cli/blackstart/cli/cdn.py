"""`blackstart cdn`: a caching node in front of any origin."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from blackstart.cli.cdn_inspect import inspect
from blackstart.cli.cdn_ls import ls
from blackstart.cli.cdn_options import ENDED_BY_SIGTERM
from blackstart.cli.cdn_top import top
from blackstart.cli.cdn_warm import warm

cdn = typer.Typer(
    name="cdn",
    help="Run a caching node in front of any origin, and look into running ones.",
    invoke_without_command=True,
)


@cdn.callback()
def run(
    context: typer.Context,
    origin: Annotated[
        str | None, typer.Option(metavar="URL", help="The origin: http:// or https://.")
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 takes a free one.")
    ] = "127.0.0.1:8080",
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where to keep the disk cache; none without.")
    ] = None,
    name: Annotated[str, typer.Option(help="The node's name in Via and Cache-Status.")] = "node",
    memory: Annotated[
        int, typer.Option(min=1, metavar="MIB", help="Memory for stored bodies.")
    ] = 256,
    access_log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="JSON lines; - is standard output.")
    ] = None,
    trusted: Annotated[
        str, typer.Option(metavar="NETWORKS", help="Proxies in front, like 10.0.0.0/8,::1.")
    ] = "",
    stale_if_error: Annotated[
        bool, typer.Option(help="Serve stale copies where the origin fails.")
    ] = True,
) -> None:
    """Cache what an origin sends, as RFC 9111 says. Purges want BLACKSTART_PURGE_TOKEN."""
    if context.invoked_subcommand is not None:
        return
    from blackstart import service
    from blackstart.cdn.serving import serve_node
    from blackstart.cdn.settings import CdnSettings
    from blackstart.errors import UsageError
    from blackstart.settings import load

    if origin is None:
        raise UsageError("which origin?", hint="blackstart cdn --origin http://127.0.0.1:8000")
    service.configure_logs("warning", "auto")
    settings = load(
        CdnSettings,
        origin_url=origin,
        cache_dir=cache,
        node_name=name,
        quotas_mb={"free": memory},
        access_log=access_log,
        trusted_peers=trusted,
        stale_if_error=stale_if_error,
    )
    sock = service.bind(listen)
    with sock:
        service.run(
            serve_node(settings, sock, ready=lambda url: print(f"listening on {url}", flush=True))
        )
    raise typer.Exit(ENDED_BY_SIGTERM)


cdn.command()(top)
cdn.command()(ls)
cdn.command()(inspect)
cdn.command()(warm)
