"""Whether a ledger is whole: every problem by its name, and one verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from blackstart.cli.ledgers import Words
    from blackstart.store.ledger import LedgerReading, LogProblem


def report(reading: LedgerReading[Any], words: Words, *, as_json: bool) -> None:
    """Print what a pass over all of it found; ends with 1 when it is not known to be whole."""
    if as_json:
        _print_json(reading, words)
    else:
        _print(reading, words)
    if reading.problems or not reading.writers:
        raise typer.Exit(1)


def _print(reading: LedgerReading[Any], words: Words) -> None:
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
        columns = {"writer": True, "segments": False, f"{words.record}s": False}
        print_table(columns | {"newest (UTC)": False}, rows)
        print()
    for problem in reading.problems:
        out.print(plain(_line(problem)), markup=False, soft_wrap=True)
    print(_verdict(reading, words))


def _line(problem: LogProblem) -> str:
    from blackstart.store.ledger import ProblemKind

    if problem.kind is ProblemKind.UNREADABLE:
        return f"could not verify: {problem.text}"
    return f"{problem.kind}: {problem.text}"


def _verdict(reading: LedgerReading[Any], words: Words) -> str:
    from blackstart.store.ledger import ProblemKind

    title = words.title
    unknown = sum(problem.kind is ProblemKind.UNREADABLE for problem in reading.problems)
    known = len(reading.problems) - unknown
    if known:
        return f"the {title} is not whole: {known} problem{'s' if known > 1 else ''}"
    if unknown:
        return f"could not verify the {title}: a part of it could not be read"
    if not reading.writers:
        return f"could not verify the {title}: there is none here"
    records = sum(summary.records for summary in reading.writers.values())
    return f"the {title} is whole: {words.counted(records)}"


def _print_json(reading: LedgerReading[Any], words: Words) -> None:
    from blackstart.cli.tables import print_json
    from blackstart.store.ledger.times import time_text

    writers = {
        writer: {
            "segments": summary.segments,
            f"{words.record}s": summary.records,
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
