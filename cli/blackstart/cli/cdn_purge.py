"""`blackstart cdn purge`: have one node forget pages."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from blackstart.cli.cdn_options import NodeUrl, open_node, page_of
from blackstart.errors import UsageError


def purge(
    urls: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="URL",
            help="Pages, with all their variants: URLs, or paths on the node's own host.",
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(metavar="TAG", help="Pages whose Cache-Tag has this tag (repeatable)."),
    ] = None,
    prefix: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL", help="Pages that begin so; http://HOST/ is a whole site (repeatable)."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--everything", help="All pages.")] = False,
    soft: Annotated[
        bool,
        typer.Option("--soft", help="Keep them, stale: to cover for a failing origin."),
    ] = False,
    node: NodeUrl = None,
) -> None:
    """Have a node forget pages. BLACKSTART_PURGE_TOKEN says who asks."""
    if everything == bool(urls or tag or prefix):
        raise UsageError(
            "purge what?", hint="name URLs, --tag TAG or --prefix URL, or else --everything"
        )
    with open_node(node, with_token=True) as client:
        what: dict[str, Any] = {"everything": True} if everything else {}
        if urls:
            what["urls"] = [f"http://{page_of(url, client.address)}" for url in urls]
        if prefix:
            what["prefixes"] = [f"http://{page_of(url, client.address)}" for url in prefix]
        if tag:
            # A tag has no comma in it: in Cache-Tag it ends one.
            what["tags"] = [name.strip() for each in tag for name in each.split(",")]
        purged = client.purge({**what, "soft": soft})
    print(f"{purged} {'made stale' if soft else 'purged'}")
    if not purged and any("*" in url for url in urls or []):
        print("a * in a URL is no wildcard: purge many pages by --prefix or --tag", file=sys.stderr)
