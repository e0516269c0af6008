"""Which node a command talks to, and which of its pages it means."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, NamedTuple
from urllib.parse import quote, urlsplit

import typer

from blackstart.cli.api_options import server_address
from blackstart.errors import UsageError

if TYPE_CHECKING:
    from blackstart.cli.node_client import NodeClient

NODE_VARIABLE = "BLACKSTART_NODE_URL"
TOKEN_VARIABLE = "BLACKSTART_PURGE_TOKEN"
DEFAULT_NODE = "http://127.0.0.1:8080"
ENDED_BY_SIGTERM = 143
# What a target may hold as it is (RFC 3986); the rest is percent-encoded.
_AS_IT_IS = "%/?:@!$&'()*+,;=-._~"
_USUAL_PORTS = {"http": 80, "https": 443}

NodeUrl = Annotated[
    str | None,
    typer.Option(
        "--node",
        metavar="URL",
        help=f"The node.  [dim]{NODE_VARIABLE}, default {DEFAULT_NODE}[/]",
        show_default=False,
    ),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--header", "-H", metavar="'NAME: VALUE'", help="A field of the request (repeatable)."
    ),
]


class Page(NamedTuple):
    """A page as a node knows it: `target` is the path with its query."""

    host: str
    target: str

    def __str__(self) -> str:
        return self.host + self.target


def node_address(given: str | None) -> str:
    """Where the node is, by option or variable. Raises: UsageError."""
    named = given or os.environ.get(NODE_VARIABLE, "") or DEFAULT_NODE
    return server_address(named, "a node", example=DEFAULT_NODE)


def open_node(given: str | None, *, with_token: bool = False) -> NodeClient:
    """The node that was named. Raises: UsageError when its token is wanted and not set."""
    from blackstart.cli.node_client import NodeClient

    address = node_address(given)
    if not with_token:
        return NodeClient(address, None)
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise UsageError(
            f"{TOKEN_VARIABLE} is not set", hint="set it to what the node was started with"
        )
    if not token.isascii() or not token.isprintable():
        raise UsageError(f"{TOKEN_VARIABLE} holds no token: not all of it is printable ASCII")
    return NodeClient(address, token)


def page_of(url: str, address: str) -> Page:
    """The page that a URL names; a path is one of the node's own host. Raises: UsageError."""
    from blackstart.cdn.front.hosts import host_of

    wrong = UsageError(f"not a URL: {url!r}", hint="such as http://docs.localhost/a or /a")
    try:
        parts = urlsplit(url if "://" in url or url.startswith("/") else f"http://{url}")
        usual = parts.port == _USUAL_PORTS.get(parts.scheme)
    except ValueError as error:
        raise wrong from error
    if url.startswith("/") and not parts.netloc:
        authority = urlsplit(address).netloc
    else:
        authority = parts.netloc.rpartition(":")[0] if usual else parts.netloc
    host = host_of(authority)
    if host is None or parts.scheme not in ("", *_USUAL_PORTS):
        raise wrong
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Page(host, quote(target, safe=_AS_IT_IS))


def fields_of(given: list[str] | None) -> dict[str, str]:
    """`Name: value` options as fields. Raises: UsageError."""
    fields = {}
    for line in given or []:
        name, colon, value = line.partition(":")
        if not (colon and name.isascii() and name and not name.isspace() and line.isprintable()):
            raise UsageError(f"not a field: {line!r}", hint="write 'Name: value'")
        if name.strip().lower() == "host":
            raise UsageError("the page names its host", hint="write it as http://HOST/PATH")
        fields[name.strip()] = value.strip()
    return fields
