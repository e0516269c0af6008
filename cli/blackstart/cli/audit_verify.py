"""`blackstart audit verify`: reads the whole trail and names all that is wrong with it."""

from __future__ import annotations

import asyncio

from blackstart.cli.audit_options import WORDS, the_trail
from blackstart.cli.guard_options import AsJson, DataFolder
from blackstart.cli.ledger_verify import report


def verify(data: DataFolder = None, as_json: AsJson = False) -> None:
    """Read the whole trail, check every line, the chain and its heads, and name each problem.

    Exit code: 0 when the trail is whole; 1 when it is not, there is none, or a part of it could
    not be verified.
    """
    from blackstart.cli.console import doing

    reading = the_trail(data).reading()

    async def read() -> None:
        async for _ in reading:
            pass

    with doing("reading the audit trail"):
        asyncio.run(read())
    report(reading, WORDS, as_json=as_json)
