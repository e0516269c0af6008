"""Which control API a command talks to, and with which token: options, and variables for both."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from blackstart.errors import UsageError

if TYPE_CHECKING:
    from blackstart.cli.api_client import ApiClient

ADDRESS_VARIABLE = "BLACKSTART_API_URL"
TOKEN_VARIABLE = "BLACKSTART_API_TOKEN"
PREFIX = "/api/v1"
ASK_UP = (
    f"`blackstart up` prints the two export lines that set {ADDRESS_VARIABLE} and {TOKEN_VARIABLE}"
)

Api = Annotated[
    str | None,
    typer.Option(
        "--api",
        metavar="URL",
        help=f"The control API.  [dim]{ADDRESS_VARIABLE}[/]",
        show_default=False,
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=f"A file that holds the token.  [dim]{TOKEN_VARIABLE}[/]",
        show_default=False,
    ),
]


def open_api(api: str | None, token_file: Path | None) -> ApiClient:
    """The control API that was named, with a token.

    Raises: UsageError when one of the two is missing or cannot be right.
    """
    from blackstart.cli.api_client import ApiClient

    address = api_address(api)
    token = _read(token_file) if token_file else os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise UsageError(f"{TOKEN_VARIABLE} is not set", hint=ASK_UP)
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError("that is no token: a token is one word", hint=ASK_UP)
    return ApiClient(address, token)


def api_address(api: str | None) -> str:
    """Where the control API is, by option or variable. Raises: UsageError."""
    given = api or os.environ.get(ADDRESS_VARIABLE, "")
    if not given:
        raise UsageError(f"{ADDRESS_VARIABLE} is not set", hint=ASK_UP)
    return server_address(given, "a control API", PREFIX)


def server_address(
    given: str, what: str, suffix: str = "", example: str = "http://127.0.0.1:8000"
) -> str:
    """A web address without a slash or `suffix` at its end. Raises: UsageError."""
    address = given.strip().rstrip("/").removesuffix(suffix)
    try:
        parts = urlsplit(address)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = None
    if not known or "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(f"not the address of {what}: {given!r}", hint=f"such as {example}")
    return address


def read_secret(file: Path | None, variable: str) -> str:
    """A secret from a file or the environment, blank when there is none. Raises: UsageError."""
    return _read(file) if file else os.environ.get(variable, "").strip()


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UsageError(f"cannot read {file}: {reason}") from error
