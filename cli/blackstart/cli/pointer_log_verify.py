"""`blackstart pointer-log verify`: reads the whole log and names all that is wrong with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from blackstart.cli.pointer_log_options import AsJson, the_settings

if TYPE_CHECKING:
    from blackstart.store.pointers import LogProblem, PointerLogReading


def verify(as_json: AsJson = False) -> None:
    """Read the whole log, check every line and the chain, and name each problem.

    Exit code: 0 when the log is whole; 1 when it is not, there is none, or a part of it could not
    be verified.
    """
    from blackstart.cli.console import doing

    with doing("reading the pointer log"):
        reading = asyncio.run(_read())
    if as_json:
        _print_json(reading)
    else:
        _print(reading)
    if reading.problems or not reading.writers:
        raise typer.Exit(1)


async def _read() -> PointerLogReading:
    from blackstart.store.pointers import read_pointer_log

    _, objects, folder = the_settings()
    reading = read_pointer_log(objects, folder)
    async for _ in reading:
        pass
    return reading


def _print(reading: PointerLogReading) -> None:
    from blackstart.cli.console import out
    from blackstart.cli.tables import plain, print_table

    if reading.writers:
        rows = (
            (
                writer,
                f"{summary.segments:,}",
                f"{summary.records:,}",
                f"{summary.newest:%Y-%m-%d %H:%M}" if summary.newest else "",
            )
            for writer, summary in reading.writers.items()
        )
        columns = {"writer": True, "segments": False, "pointers": False, "newest (UTC)": False}
        print_table(columns, rows)
        print()
    for problem in reading.problems:
        out.print(plain(_line(problem)), markup=False, soft_wrap=True)
    print(_verdict(reading))


def _line(problem: LogProblem) -> str:
    from blackstart.store.pointers import ProblemKind

    if problem.kind is ProblemKind.UNREADABLE:
        return f"could not verify: {problem.text}"
    return f"{problem.kind}: {problem.text}"


def _verdict(reading: PointerLogReading) -> str:
    from blackstart.store.pointers import ProblemKind

    unknown = sum(problem.kind is ProblemKind.UNREADABLE for problem in reading.problems)
    known = len(reading.problems) - unknown
    if known:
        return f"the log is not whole: {known} problem{'s' if known > 1 else ''}"
    if unknown:
        return "could not verify the log: a part of it could not be read"
    records = sum(summary.records for summary in reading.writers.values())
    if not reading.writers:
        return "could not verify the log: there is none here"
    return f"the log is whole: {records:,} pointer{'' if records == 1 else 's'}"


def _print_json(reading: PointerLogReading) -> None:
    from blackstart.cli.tables import print_json
    from blackstart.store.pointers.record import time_text

    writers = {
        writer: {
            "segments": summary.segments,
            "pointers": summary.records,
            "newest": time_text(summary.newest) if summary.newest else None,
        }
        for writer, summary in reading.writers.items()
    }
    problems = [
        {
            "kind": problem.kind,
            "writer": problem.writer,
            "segment": problem.segment,
            "text": problem.text,
        }
        for problem in reading.problems
    ]
    whole = bool(writers) and not problems
    print_json({"whole": whole, "writers": writers, "problems": problems})
