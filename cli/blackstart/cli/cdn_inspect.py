"""`blackstart cdn inspect`: what a node holds for one page, and what it would do now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from blackstart.cli.cdn_options import Fields, NodeUrl, fields_of, open_node, page_of


def inspect(
    url: Annotated[str, typer.Argument(help="The page: a URL, or a path on the node's own host.")],
    header: Fields = None,
    as_json: Annotated[bool, typer.Option("--json", help="As one JSON object.")] = False,
    node: NodeUrl = None,
) -> None:
    """Show what a node holds for a page, and what it would do now. The origin isn't asked."""
    from blackstart.cli.tables import plain, print_json

    fields = [f"{name}: {value}" for name, value in fields_of(header).items()]
    with open_node(node, with_token=True) as client:
        page = page_of(url, client.address)
        found = client.json("entry", {"host": page.host, "target": page.target, "header": fields})
    if as_json:
        print_json(found)
        return
    print(plain(f"{page} at node {found['node']}"))
    print(plain(f"now: {found['now']}"))
    if not found["variants"]:
        print("nothing is held of it: `detail` in Cache-Status says why, when you ask for it")
    for number, variant in enumerate(found["variants"], start=1):
        print()
        _print_variant(variant, number, len(found["variants"]))


def _lifetime(variant: dict[str, Any]) -> str:
    """How long it is fresh in all, and on whose word."""
    by = variant.get("lifetime_by")
    if by is None:
        return "none: the origin names none"
    if by == "Last-Modified":
        by = "a tenth of its age at the origin, which names none (Last-Modified)"
    return f"{variant['lifetime_s']:.0f} s: {by}"


def _print_variant(variant: dict[str, Any], number: int, of: int) -> None:
    from blackstart.cli.cdn_ls import where
    from blackstart.cli.tables import plain, print_fields
    from blackstart.cli.units import duration, size

    stored_at = datetime.fromtimestamp(variant["stored_at"], UTC)
    vary = [f"{name}: {value or '(none)'}" for name, value in variant["vary"].items()]
    part = variant["part"]
    print_fields(
        {
            "variant": f"{number} of {of}" if of > 1 else "",
            "made for": ", ".join(vary),
            "status": variant["status"],
            "body": f"{size(variant['size'])} in {where(variant) or 'neither tier'}",
            "part": part and f"bytes {part[0]}-{part[1] - 1} of {part[2]}",
            "stored": f"{stored_at:%Y-%m-%d %H:%M:%S} UTC, age {duration(variant['age_s'])}",
            "fresh": f"{'yes' if variant['fresh'] else 'no'}, {variant['because']}",
            "lifetime": _lifetime(variant),
            "for errors": "would stand in" if variant["covers_errors"] else "would not stand in",
            "rules": "; ".join(variant["rules"]),
            "plan": variant["plan"],
            "tags": ", ".join(variant["tags"]),
        }
    )
    for name, value in variant["headers"]:
        print(plain(f"  {name}: {value}"))
