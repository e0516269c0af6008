"""`blackstart guard`: reviewed access to MongoDB, and what people say about held writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.guard_login import login
from blackstart.cli.guard_options import ENDED_BY_SIGTERM, OPTIONS, option, refuse_options
from blackstart.cli.guard_requests import list_requests, show, wait
from blackstart.cli.guard_say import approve, break_glass, reject, review, withdraw

if TYPE_CHECKING:
    import socket

    from blackstart.guard.settings import GuardSettings
    from blackstart.recovery.settings import RecoverySettings

guard = typer.Typer(
    name="guard",
    rich_markup_mode="rich",
    help=(
        "Run a guard before MongoDB, and speak to one.\n\n"
        "Clients connect to the guard as to a MongoDB, each with a login of their own. Reads and"
        " writes to one document pass; every other write waits until a second person has looked"
        " at it, and a snapshot is taken before it runs. The settings in docs/servers.md hold as"
        " well; an option is stronger."
    ),
    invoke_without_command=True,
)


@guard.callback()
def run(
    context: typer.Context,
    listen: Annotated[
        str | None,
        option("Where to listen; port 0 takes a free one.", "HOST:PORT", "127.0.0.1:27018"),
    ] = None,
    upstream: Annotated[
        str | None,
        option(
            "The database behind the guard. Name one with a password in BLACKSTART_MONGODB_URI"
            " instead: everybody on the machine can read options.",
            "URI",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        option("Where logins, requests and the audit trail are.", "DIR", ".blackstart/guard"),
    ] = None,
    wait: Annotated[
        float | None,
        option("How long a held command waits for an answer to it.", "SECONDS", "300"),
    ] = None,
    advertise: Annotated[
        str | None, option("Where clients reach the guard.", "HOST:PORT", "where it listens")
    ] = None,
    tls_cert: Annotated[
        Path | None, option("A PEM file with certificate and key: clients must use TLS.", "FILE")
    ] = None,
    max_connections: Annotated[int | None, option("How many clients at most.", "N", "2000")] = None,
    rules: Annotated[Path | None, option("A table of rules of your own.", "FILE")] = None,
    http: Annotated[
        str | None,
        option("Where the web page is, or off for none.", "HOST:PORT", "127.0.0.1:27019"),
    ] = None,
    no_sign_off: Annotated[
        bool,
        typer.Option(
            "--no-sign-off", help="Ask nobody: held writes run after their snapshot is taken."
        ),
    ] = False,
) -> None:
    if context.invoked_subcommand is not None:
        refuse_options(context)
        return
    from blackstart import service
    from blackstart.cli.guard_page import bind_page

    given = {
        "listen": listen,
        "mongodb_uri": upstream,
        "guard_data": data,
        "guard_wait_s": wait,
        "guard_advertise": advertise,
        "guard_tls_cert": tls_cert,
        "guard_max_connections": max_connections,
        "guard_rules": rules,
        "guard_http": http,
        "guard_sign_off": False if no_sign_off else None,
    }
    settings, recovery = _settings({key: each for key, each in given.items() if each is not None})
    service.configure_logs(settings.log_level, settings.log_format)
    with service.bind(settings.listen) as sock, bind_page(settings) as page_sock:
        service.run(_serve(settings, recovery, sock, page_sock))
    raise typer.Exit(ENDED_BY_SIGTERM)


def _settings(given: dict[str, Any]) -> tuple[GuardSettings, RecoverySettings]:
    """What was given, and the environment for the rest. Raises: UsageError."""
    from blackstart.errors import UsageError
    from blackstart.guard.settings import GuardSettings
    from blackstart.recovery.settings import RecoverySettings
    from blackstart.settings import load

    settings = load(GuardSettings, OPTIONS, **given)
    if not settings.mongodb_uri:
        hint = "blackstart guard --upstream mongodb://127.0.0.1:27017"
        raise UsageError("a guard of which database?", hint=hint)
    settings.object_store = settings.objects()
    settings.needed_object_store()
    return settings, load(RecoverySettings, object_store=settings.object_store)


async def _serve(
    settings: GuardSettings,
    recovery: RecoverySettings,
    sock: socket.socket,
    page_sock: socket.socket | None,
) -> None:
    from pymongo import AsyncMongoClient

    from blackstart.cli.guard_page import page_url
    from blackstart.cli.snapshot_options import open_snapshots
    from blackstart.clock import WallClock
    from blackstart.guard.guardroom import Parts
    from blackstart.guard.proxy.upstream import Upstream
    from blackstart.guard.saver import Saver
    from blackstart.guard.service import open_guard
    from blackstart.seed import Seed
    from blackstart.store import ObjectStore

    Upstream(settings.mongodb_uri)  # Raises what is wrong with it.
    clock, seed = WallClock(), Seed.from_entropy()
    address = settings.address(*sock.getsockname()[:2])
    objects = ObjectStore.open(settings.needed_object_store())
    async with AsyncMongoClient[dict[str, Any]](
        settings.mongodb_uri, serverSelectionTimeoutMS=5_000
    ) as client:
        snapshots, taking = open_snapshots(recovery, make=True), seed.fork("snapshots")

        async def take(database: str) -> str:
            return (await snapshots.take(client[database], clock, taking)).id

        parts = Parts(client, Saver(take), objects, clock, seed)
        said = f"guard listening on mongodb://{address}/"
        if page_sock is not None:
            said += f"\nits web page is at {page_url(settings, page_sock)}"
        async with open_guard(settings, parts, address) as guard:
            await guard.run(
                sock,
                page_sock,
                tls_cert=settings.guard_tls_cert,
                ready=lambda: print(said, flush=True),
            )


guard.add_typer(login)
guard.command("list")(list_requests)
guard.command()(show)
guard.command()(approve)
guard.command()(reject)
guard.command()(withdraw)
guard.command("break-glass")(break_glass)
guard.command()(review)
guard.command()(wait)
