"""The pointer log: which deploy got which tree, on record before the pointer is acknowledged."""

from blackstart.store.pointers.chain import LoggedPointer
from blackstart.store.pointers.log import FilePointerLog, PointerLog
from blackstart.store.pointers.objects import ObjectPointerLog
from blackstart.store.pointers.problems import LogProblem, ProblemKind
from blackstart.store.pointers.reading import (
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
