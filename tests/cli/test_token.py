"""`blackstart token`: made on stdout alone, listed in 80 columns, revoked, and its refusals."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from blackstart.cli.main import app
from blackstart.clock import WallClock
from blackstart.control.tokens import TokenService
from blackstart.model import Scope, Token
from blackstart.seed import Seed
from blackstart.store.metadata import connect

Call = Callable[..., Any]
SECRET = re.compile(r"bst_[0-9a-f]{24}_[A-Za-z0-9_-]{43}\n")
DATABASE = "test-cli-tokens"


@asynccontextmanager
async def token_service(uri: str) -> AsyncIterator[TokenService]:
    async with connect(uri, DATABASE) as store:
        yield TokenService(store, WallClock(), Seed(6))


@pytest.fixture
def database(mongodb_uri: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The database that the command line is pointed at, dropped afterwards."""
    monkeypatch.setenv("BLACKSTART_MONGODB_URI", mongodb_uri)
    monkeypatch.setenv("BLACKSTART_DATABASE", DATABASE)
    yield mongodb_uri

    async def drop() -> None:
        async with connect(mongodb_uri, DATABASE) as store:
            await store.drop()

    asyncio.run(drop())


def authenticated(uri: str, secret: str) -> Token:
    async def look() -> Token:
        async with token_service(uri) as tokens:
            return await tokens.authenticate(secret)

    return asyncio.run(look())


def test_the_secret_is_alone_on_stdout_and_works(call: Call, database: str) -> None:
    done = call("token", "create", "ci", "--scope", "deploy", "--scope", "review", "--days", "3")
    assert done.code == 0
    assert SECRET.fullmatch(done.out)
    made = authenticated(database, done.out.strip())
    assert (made.name, made.scopes) == ("ci", [Scope.DEPLOY, Scope.REVIEW])
    assert made.expires_at is not None
    assert (made.expires_at - made.created_at).days == 3
    assert made.id in done.err
    assert done.out.strip() not in done.err


def test_the_secret_is_what_a_shell_gets(database: str) -> None:
    command = [sys.executable, "-P", "-m", "blackstart.cli", "token", "create", "ci"]
    done = subprocess.run(
        [*command, "--scope", "read"], capture_output=True, text=True, check=True, env=os.environ
    )
    assert SECRET.fullmatch(done.stdout)


def test_json_holds_the_token_and_its_secret_but_no_digest(call: Call, database: str) -> None:
    done = call("token", "create", "ci", "--scope", "operate", "--json")
    made = json.loads(done.out)
    assert authenticated(database, made["token"]).id == made["id"]
    assert (made["scopes"], made["expires_at"]) == (["operate"], None)
    assert "digest" not in made
    (listed,) = json.loads(call("token", "list", "--json").out)
    assert listed == {key: made[key] for key in made if key != "token"} | {"state": "valid"}


@pytest.mark.usefixtures("database")
def test_the_list_fits_in_80_columns_and_shows_what_is_over(call: Call) -> None:
    scopes = [word for scope in Scope for word in ("--scope", scope)]
    first = json.loads(call("token", "create", "n" * 60, *scopes, "--json").out)
    call("token", "create", "[red]ci[/]", "--scope", "read")
    assert call("token", "revoke", first["id"]).code == 0
    listed = call("token", "list")
    assert listed.code == 0
    assert max(len(line) for line in listed.out.splitlines()) <= 80
    assert first["id"] in listed.out
    assert "[red]ci[/]" in listed.out
    assert "bst_" not in listed.out
    assert re.search(rf"{first['id']} .* revoked\b", listed.out)
    assert re.search(r"ci\[/\] .* valid\b", listed.out)


@pytest.mark.usefixtures("database")
def test_an_empty_list_says_how_to_fill_it(call: Call) -> None:
    done = call("token", "list")
    assert (done.code, done.out) == (0, "")
    assert "token create" in done.err
    assert json.loads(call("token", "list", "--json").out) == []


def test_a_revoked_token_is_named_on_stderr(call: Call, database: str) -> None:
    made = json.loads(call("token", "create", "ci", "--scope", "read", "--json").out)
    done = call("token", "revoke", made["id"])
    assert (done.code, done.out) == (0, "")
    assert done.err == f"token {made['id']} (ci) is revoked\n"


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["revoke", "0" * 24], 1, "no token"),
        (["create", "ci"], 2, "--scope"),
        (["create", "ci", "--scope", "all"], 2, "choose from read, deploy, operate, review"),
        (["create", "ci", "--scope", "read", "--days", "0"], 2, "--days"),
        (["create", "ci", "--scope", "read", "--days", "9" * 12], 2, "--days"),
        (["create", "", "--scope", "read"], 2, "not a name for a token"),
        ([], 2, "token --help"),
    ],
)
def test_a_refusal_is_one_line(call: Call, arguments: list[str], code: int, said: str) -> None:
    done = call("token", *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
    assert said in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["list"], ["revoke", "1"], ["create", "ci", "--scope", "read"]], ids=" ".join
)
def test_without_a_database_the_variable_is_named(
    call: Call, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.delenv("BLACKSTART_MONGODB_URI", raising=False)
    done = call("token", *arguments)
    assert (done.code, done.out) == (2, "")
    assert "set BLACKSTART_MONGODB_URI to that of the control API" in done.err


def test_a_database_that_fails_is_one_line(
    call: Call, monkeypatch: pytest.MonkeyPatch, mongodb_uri: str
) -> None:
    from pymongo.errors import AutoReconnect

    from blackstart.store.tokens import Tokens

    async def away(self: Tokens) -> None:
        raise AutoReconnect("connection closed")

    monkeypatch.setenv("BLACKSTART_MONGODB_URI", mongodb_uri)
    monkeypatch.setattr(Tokens, "all", away)
    done = call("token", "list")
    assert (done.code, done.err) == (1, "error: MongoDB refused: connection closed\n")


def test_help_fits_in_80_columns_and_names_every_scope_and_the_database(call: Call) -> None:
    for arguments in ([], ["create"], ["list"], ["revoke"]):
        done = call("token", *arguments, "--help")
        assert (done.code, done.err) == (0, "")
        assert max(len(line) for line in done.out.splitlines()) <= 80
        assert "BLACKSTART_MONGODB_URI" in done.out
    assert "|".join(Scope) in call("token", "create", "--help").out


def test_token_is_among_the_commands(call: Call) -> None:
    assert "token" in [group.typer_instance.info.name for group in app.registered_groups]
    assert re.search(r"\btoken\b", call("--help").out)
