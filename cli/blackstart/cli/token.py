"""`blackstart token`: make, list and revoke the tokens that the control API asks for."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from blackstart.cli.tables import print_json

if TYPE_CHECKING:
    from datetime import datetime

    from blackstart.control.tokens import TokenService
    from blackstart.model import Scope, Token

T = TypeVar("T")

token = typer.Typer(
    name="token",
    rich_markup_mode="rich",
    help="Make, list and revoke the tokens that the control API asks for. This talks straight to "
    "the database that BLACKSTART_MONGODB_URI and BLACKSTART_DATABASE name, not to the API: "
    "somebody has to make the first token.",
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@token.command()
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What the token is for, as it is to be listed.")
    ],
    scope: Annotated[
        list[str],
        typer.Option(
            metavar="read|deploy|operate|review",
            help="What it may do (repeatable); operate includes deploy, and each includes read.",
        ),
    ],
    days: Annotated[
        int | None,
        typer.Option(
            min=1, max=36_500, help="How long it is valid; for good when left out.", metavar="N"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token. Its secret is printed once, alone on stdout; all else goes to stderr.

    It talks straight to the database of BLACKSTART_MONGODB_URI.
    """
    from datetime import timedelta

    scopes = [_scope(each) for each in scope]
    life = None if days is None else timedelta(days=days)
    made, secret = _with_tokens(lambda tokens: tokens.create(name, scopes, life))
    if as_json:
        print_json(_row(made) | {"token": secret})
        return
    until = f"until {_day(made.expires_at)}" if made.expires_at else "until it is revoked"
    print(f"token {made.id}: {' '.join(made.scopes)}, valid {until}", file=sys.stderr)
    print("keep what follows, it is not shown again:", file=sys.stderr, flush=True)
    print(secret)


@token.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List all tokens, oldest first, from the database of BLACKSTART_MONGODB_URI."""
    from blackstart.clock import WallClock

    tokens = _with_tokens(lambda tokens: tokens.list())
    now = WallClock().now()
    if as_json:
        print_json([_row(each) | {"state": each.state(now)} for each in tokens])
    else:
        _print_table([(each, each.state(now)) for each in tokens])


@token.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `token list` shows it.")],
) -> None:
    """End a token at once, in the database of BLACKSTART_MONGODB_URI."""
    ended = _with_tokens(lambda tokens: tokens.revoke(token_id))
    print(f"token {ended.id} ({ended.name}) is revoked", file=sys.stderr)


def _with_tokens(work: Callable[[TokenService], Awaitable[T]]) -> T:
    """Raises: UsageError when no database is named; DatabaseError when it fails."""

    async def run() -> T:
        async with _token_service() as tokens:
            return await work(tokens)

    return asyncio.run(run())


@asynccontextmanager
async def _token_service() -> AsyncIterator[TokenService]:
    from pymongo.errors import PyMongoError

    from blackstart.clock import WallClock
    from blackstart.control.tokens import TokenService
    from blackstart.errors import DatabaseError, UsageError
    from blackstart.seed import Seed
    from blackstart.settings import Settings, load
    from blackstart.store.metadata import connect

    settings = load(Settings)
    if not settings.mongodb_uri:
        raise UsageError(
            "tokens are kept in the database, and none is named",
            hint="set BLACKSTART_MONGODB_URI to that of the control API",
        )
    async with connect(settings.mongodb_uri, settings.database) as store:
        try:
            yield TokenService(store, WallClock(), Seed.from_entropy())
        except PyMongoError as error:
            reason = str(error).splitlines()[0][:160]
            raise DatabaseError(f"MongoDB refused: {reason}") from error


def _scope(name: str) -> Scope:
    from blackstart.errors import UsageError
    from blackstart.model import Scope

    try:
        return Scope(name)
    except ValueError as error:
        hint = f"choose from {', '.join(Scope)}"
        raise UsageError(f"no such scope: {name!r}", hint=hint) from error


def _row(each: Token) -> dict[str, Any]:
    return each.model_dump(mode="json", exclude={"digest"})


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d}"


def _print_table(tokens: list[tuple[Token, str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from blackstart.cli.console import err, out

    if not tokens:
        err.print("There are no tokens yet; make one with `blackstart token create`.")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    table.add_column("Id", no_wrap=True)
    table.add_column("Name", overflow="fold", style="bold")
    table.add_column("Scopes")
    table.add_column("Created", no_wrap=True)
    table.add_column("State", no_wrap=True)
    for each, state in tokens:
        style = None if state == "valid" else "dim"
        scopes = " ".join(each.scopes)
        table.add_row(each.id, Text(each.name), scopes, _day(each.created_at), state, style=style)
    out.print(table)
