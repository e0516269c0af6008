"""`blackstart cdn warm`: ask a node for a list of pages, so that it has them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from blackstart.cli.cdn_options import (
    ENDED_BY_SIGTERM,
    Fields,
    NodeUrl,
    Page,
    fields_of,
    open_node,
    page_of,
)
from blackstart.errors import UsageError

LIST_BYTES = 64 * 1024 * 1024


def warm(
    pages: Annotated[
        str, typer.Argument(metavar="LIST", help="A file with a URL or path a line; - is stdin.")
    ],
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests at a time.")] = 4,
    header: Fields = None,
    node: NodeUrl = None,
) -> None:
    """Ask a node for each page of a list, so that it has them. Ends with 1 when one failed."""
    from blackstart import service
    from blackstart.cli.warming import Warming

    fields = fields_of(header)
    with open_node(node) as client:
        wanted = read_list(pages, client.address)
        client.check()
    warming = Warming(client.address, wanted, fields)
    if service.run(warming.run(concurrency)) is None:
        raise typer.Exit(ENDED_BY_SIGTERM)
    print(warming)
    if warming.failed:
        raise typer.Exit(1)


def read_list(name: str, address: str) -> list[Page]:
    """The pages of a list, each once; blank lines and those that begin with # are passed over.

    Raises: UsageError when it cannot be read, or a line is no URL.
    """
    source = "standard input" if name == "-" else name
    try:
        with sys.stdin.buffer if name == "-" else Path(name).open("rb") as file:
            data = file.read(LIST_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"cannot read {source}: it is not text") from error
    if len(data) > LIST_BYTES:
        raise UsageError(f"{source} is over {LIST_BYTES >> 20} MiB", hint="split it")
    wanted: dict[Page, None] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line and not line.startswith("#"):
            try:
                wanted[page_of(line, address)] = None
            except UsageError as error:
                raise UsageError(f"{source}, line {number}: {error}") from error
    if not wanted:
        raise UsageError(f"{source} lists no pages", hint="one URL or path a line")
    return list(wanted)
