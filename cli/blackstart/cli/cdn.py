"""`blackstart cdn`: a caching node in front of any origin."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.cdn_inspect import inspect
from blackstart.cli.cdn_ls import ls
from blackstart.cli.cdn_options import ENDED_BY_SIGTERM, TOKEN_VARIABLE
from blackstart.cli.cdn_purge import purge
from blackstart.cli.cdn_top import top
from blackstart.cli.cdn_warm import warm
from blackstart.errors import UsageError

if TYPE_CHECKING:
    from blackstart.cdn.settings import CdnSettings

DEFAULT_LISTEN = "127.0.0.1:8080"
DEFAULT_MEMORY_MIB = 256
# The settings that have an option, and what it is called.
_OPTIONS = {
    "origin_url": "--origin",
    "origin_host": "--host",
    "cache_dir": "--cache",
    "disk_quotas_mb": "--disk",
    "node_name": "--name",
    "quotas_mb": "--memory",
    "access_log": "--access-log",
    "trusted_peers": "--trusted",
}

cdn = typer.Typer(
    name="cdn",
    help=(
        "Run a caching node in front of any origin, and look into running ones.\n\n"
        "A node keeps what its origin sends as RFC 9111 says. Purge, ls and inspect need a"
        f" secret: set {TOKEN_VARIABLE} before the node starts. The settings of a node in"
        " docs/servers.md hold as well; an option is stronger."
    ),
    invoke_without_command=True,
)


def _option(help: str, metavar: str, default: str = "") -> typer.models.OptionInfo:
    """An option that is None when it isn't given, so that the environment counts."""
    note = f"  [dim]default {default}[/]" if default else ""
    option: typer.models.OptionInfo = typer.Option(
        metavar=metavar, help=help + note, show_default=False
    )
    return option


@cdn.callback()
def run(
    context: typer.Context,
    origin: Annotated[str | None, _option("The origin: http:// or https://.", "URL")] = None,
    host: Annotated[
        str | None, _option("The host that the origin is asked for.", "HOST", "the visitor's")
    ] = None,
    listen: Annotated[
        str | None,
        _option("Where to listen; port 0 takes a free one.", "HOST:PORT", DEFAULT_LISTEN),
    ] = None,
    cache: Annotated[
        str | None, _option("A folder of its own for the disk cache; else memory only.", "DIR")
    ] = None,
    disk: Annotated[
        int | None, _option("Disk for stored bodies.", "MIB", "four times the memory")
    ] = None,
    memory: Annotated[
        int | None, _option("Memory for stored bodies.", "MIB", str(DEFAULT_MEMORY_MIB))
    ] = None,
    name: Annotated[
        str | None, _option("The node's name in Via and Cache-Status.", "NAME", "node")
    ] = None,
    access_log: Annotated[str | None, _option("JSON lines; - is standard output.", "FILE")] = None,
    trusted: Annotated[
        str | None, _option("Proxies in front, like 10.0.0.0/8,::1.", "NETWORKS")
    ] = None,
    forward_client: Annotated[
        bool,
        typer.Option(
            "--forward-client", help="Tell the origin the visitor's address in X-Forwarded-For."
        ),
    ] = False,
    status_key: Annotated[
        bool, typer.Option("--status-key", help="Tell the cache key in Cache-Status.")
    ] = False,
    no_stale_if_error: Annotated[
        bool,
        typer.Option(
            "--no-stale-if-error", help="Pass errors on; else stale copies stand in for a day."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    from blackstart import service
    from blackstart.cdn.serving import serve_node

    given = {
        "origin_url": origin,
        "origin_host": host,
        "forward_client": forward_client or None,
        "cache_dir": cache,
        "disk_quotas_mb": None if disk is None else {"free": disk},
        "node_name": name,
        "quotas_mb": _memory(memory),
        "access_log": access_log,
        "trusted_peers": trusted,
        "status_key": status_key or None,
        "stale_if_error": False if no_stale_if_error else None,
    }
    settings = _settings({key: value for key, value in given.items() if value is not None})
    service.configure_logs(settings.log_level, settings.log_format)
    sock = service.bind(listen or os.environ.get("BLACKSTART_LISTEN") or DEFAULT_LISTEN)
    with sock:
        service.run(
            serve_node(settings, sock, ready=lambda url: print(f"listening on {url}", flush=True))
        )
    raise typer.Exit(ENDED_BY_SIGTERM)


def _memory(given_mib: int | None) -> dict[str, int] | None:
    if given_mib is None and "BLACKSTART_QUOTAS_MB" in os.environ:
        return None
    return {"free": DEFAULT_MEMORY_MIB if given_mib is None else given_mib}


def _settings(given: dict[str, Any]) -> CdnSettings:
    """What was given, and the environment for the rest. Raises: UsageError."""
    from blackstart.cdn.settings import CdnSettings
    from blackstart.settings import load

    if "origin_url" not in given and not os.environ.get("BLACKSTART_ORIGIN_URL"):
        raise UsageError("which origin?", hint="blackstart cdn --origin http://127.0.0.1:8000")
    settings = load(CdnSettings, _OPTIONS, **given)
    if "disk_quotas_mb" in given and settings.cache_dir is None:
        raise UsageError("--disk bounds a disk cache, and there is none", hint="add --cache DIR")
    return settings


def _refuse_options(context: typer.Context) -> None:
    """Options of a node mean nothing to a command that looks into one. Raises: UsageError."""
    for parameter in context.command.params:
        if parameter.name and context.params.get(parameter.name) not in (None, False):
            raise UsageError(
                f"{parameter.opts[0]} is for running a node, not for {context.invoked_subcommand}",
                hint=f"see `blackstart cdn {context.invoked_subcommand} --help`",
            )


cdn.command()(top)
cdn.command()(ls)
cdn.command()(inspect)
cdn.command()(warm)
cdn.command()(purge)
