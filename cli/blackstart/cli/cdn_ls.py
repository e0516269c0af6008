"""`blackstart cdn ls`: what a node has stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.cdn_options import NodeUrl, open_node, page_of

if TYPE_CHECKING:
    from blackstart.cli.node_client import NodeClient

PER_PAGE = 1000


def ls(
    prefix: Annotated[
        str,
        typer.Argument(
            help="Only pages that begin so: docs.localhost/blog/, or a path on the node's own host."
        ),
    ] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 1000,
    as_json: Annotated[
        bool, typer.Option("--json", help="All that is known of each, as one JSON array.")
    ] = False,
    node: NodeUrl = None,
) -> None:
    """List what a node has stored. BLACKSTART_PURGE_TOKEN says who asks."""
    import sys

    from blackstart.cli.tables import print_json, print_table

    with open_node(node, with_token=True) as client:
        prefix = _beginning(prefix, client.address)
        entries, more = _read(client, prefix, limit)
    if as_json:
        print_json(entries)
    elif not entries:
        print(_nothing(prefix), file=sys.stderr)
    else:
        names = ("page", "status", "size", "age", "left", "plan", "in")
        print_table({name: name == "page" for name in names}, [_row(each) for each in entries])
    if more:
        print(f"there are more than {limit}: give --limit or a prefix", file=sys.stderr)


def _beginning(given: str, address: str) -> str:
    """How a node writes the pages that are meant: host and target, percent-encoded."""
    bare = given.removeprefix("http://").removeprefix("https://")
    if "/" not in bare:
        return bare.lower()  # The beginning of a host.
    return str(page_of(given, address))


def _nothing(prefix: str) -> str:
    from blackstart.cli.tables import plain

    return plain(f"nothing is stored that begins with {prefix}" if prefix else "nothing is stored")


def _read(client: NodeClient, prefix: str, limit: int) -> tuple[list[Any], bool]:
    entries: list[Any] = []
    after = ""
    while after is not None and len(entries) <= limit:
        count = min(PER_PAGE, limit + 1 - len(entries))
        page = client.json("entries", {"prefix": prefix, "after": after, "limit": count})
        entries += page["entries"]
        after = page["next"]
    return entries[:limit], len(entries) > limit


def _row(entry: dict[str, Any]) -> list[str]:
    from blackstart.cli.units import duration, size

    page = entry["host"] + entry["target"]
    varies = ", ".join(value or "-" for value in entry["vary"].values())
    left = "stale" if entry["stale"] or not entry["fresh"] else duration(entry["ttl_s"])
    return [
        f"{page} ({varies})" if varies else page,
        str(entry["status"]),
        size(entry["size"]),
        duration(entry["age_s"]),
        left,
        entry["plan"],
        where(entry),
    ]


def where(entry: dict[str, Any]) -> str:
    """In which tiers the body is."""
    return "+".join(tier for tier in ("memory", "disk") if entry[tier])
