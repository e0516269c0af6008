"""The way to a guard that runs: where it is, who comes, and with which password."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote_plus

import typer

from blackstart.cli.guard_options import option
from blackstart.errors import UsageError

PASSWORD_VARIABLE = "BLACKSTART_GUARD_PASSWORD"
LOGIN_VARIABLE = "BLACKSTART_GUARD_LOGIN"
URI_VARIABLE = "BLACKSTART_GUARD_URI"
ADDRESS = "127.0.0.1:27018"

Where = Annotated[
    str | None,
    option(
        f"Where the guard is, also as a mongodb:// URI.  [dim]{URI_VARIABLE}[/]",
        "HOST:PORT",
        ADDRESS,
    ),
]
LoginName = Annotated[str | None, option(f"Who you are.  [dim]{LOGIN_VARIABLE}[/]", "NAME")]
TlsCa = Annotated[
    Path | None,
    option("Speak TLS; a PEM file with the certificate of who signed the guard's.", "FILE"),
]
Number = Annotated[int, typer.Argument(metavar="N", help="The request's number.", min=1)]


@dataclass(frozen=True)
class Door:
    """Where a guard is, and who comes to it."""

    uri: str
    login: str
    password: str = field(repr=False)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Without a password."""
        return self.uri.removeprefix("mongodb://").rpartition("@")[2].partition("/")[0]

    @property
    def whole_uri(self) -> str:
        """With login and password, for a process of ours: a secret."""
        who = f"{quote_plus(self.login)}:{quote_plus(self.password)}"
        options = [self.uri.partition("?")[2], "directConnection=true"]
        options += [f"{name}={quote_plus(str(value))}" for name, value in self.options.items()]
        text = "&".join(filter(None, options)).replace("=True", "=true")
        return f"mongodb://{who}@{self.address}/?{text}"


def the_door(guard: str | None, login: str | None, tls_ca: Path | None) -> Door:
    """The guard that was named, and who wants to speak to it; asks for the password.

    Raises: UsageError.
    """
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    from blackstart.store.address import no_address

    given = guard or os.environ.get(URI_VARIABLE) or ADDRESS
    uri = given if given.startswith("mongodb://") else f"mongodb://{given}/"
    try:
        parsed = parse_uri(uri)
    except (PyMongoError, ValueError) as error:
        hint = no_address(uri, error, f"see --guard or {URI_VARIABLE}").hint
        raise UsageError("not the address of a guard", hint=hint) from error
    name = login or os.environ.get(LOGIN_VARIABLE) or parsed["username"]
    if not name:
        raise UsageError("who are you?", hint=f"give --login NAME or set {LOGIN_VARIABLE}")
    if tls_ca is not None and not tls_ca.is_file():
        raise UsageError(f"there is no file {tls_ca}", hint="see --tls-ca")
    tls = {} if tls_ca is None else {"tls": True, "tlsCAFile": str(tls_ca)}
    known = parsed["password"] if name == parsed["username"] else None
    return Door(uri, name, known or read_password(name), tls)


def read_password(name: str, *, new: bool = False) -> str:
    """From the environment or a terminal, never from the command line. Raises: UsageError."""
    if given := os.environ.get(PASSWORD_VARIABLE):
        return given
    if not sys.stdin.isatty():
        raise UsageError(f"no password for {name}", hint=f"set {PASSWORD_VARIABLE}")
    asked: str = typer.prompt(
        f"password of {name}", hide_input=True, confirmation_prompt=new, err=True
    )
    return asked
