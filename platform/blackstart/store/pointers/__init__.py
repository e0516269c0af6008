"""The pointer log: which deploy got which tree, on record before the pointer is acknowledged."""

from blackstart.store.ledger.problems import LogProblem, ProblemKind
from blackstart.store.pointers.log import FilePointerLog, ObjectPointerLog, PointerLog
from blackstart.store.pointers.reading import (
    LoggedPointer,
    PointerLogReading,
    newest_pointers,
    read_pointer_log,
)
from blackstart.store.pointers.record import PointerRecord

__all__ = [
    "FilePointerLog",
    "LogProblem",
    "LoggedPointer",
    "ObjectPointerLog",
    "PointerLog",
    "PointerLogReading",
    "PointerRecord",
    "ProblemKind",
    "newest_pointers",
    "read_pointer_log",
]
