"""Ledgers: chained lines that are durable when written, and moved to the object store."""

from blackstart.store.ledger.line import START, Line, Position
from blackstart.store.ledger.log import FileLedger
from blackstart.store.ledger.objects import ObjectLedger
from blackstart.store.ledger.opening import open_ledger
from blackstart.store.ledger.problems import LogProblem, ProblemKind
from blackstart.store.ledger.reading import LedgerReading
from blackstart.store.ledger.segment import Entry, Ledger, SegmentName

__all__ = [
    "START",
    "Entry",
    "FileLedger",
    "Ledger",
    "LedgerReading",
    "Line",
    "LogProblem",
    "ObjectLedger",
    "Position",
    "ProblemKind",
    "SegmentName",
    "open_ledger",
]
