"""`blackstart pointer-log verify`: reads the whole log and names all that is wrong with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from blackstart.cli.ledger_verify import report
from blackstart.cli.ledgers import AsJson
from blackstart.cli.pointer_log_options import WORDS, the_settings

if TYPE_CHECKING:
    from blackstart.store.pointers import PointerLogReading


def verify(as_json: AsJson = False) -> None:
    """Read the whole log, check every line and the chain, and name each problem.

    Exit code: 0 when the log is whole; 1 when it is not, there is none, or a part of it could not
    be verified.
    """
    from blackstart.cli.console import doing

    with doing("reading the pointer log"):
        reading = asyncio.run(_read())
    report(reading, WORDS, as_json=as_json)


async def _read() -> PointerLogReading:
    from blackstart.store.pointers import read_pointer_log

    _, objects, folder = the_settings()
    reading = read_pointer_log(objects, folder)
    async for _ in reading:
        pass
    return reading
