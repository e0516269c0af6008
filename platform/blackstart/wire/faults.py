"""Errors in MongoDB's own words: a code, its name, a text, `ok: 0`."""

from __future__ import annotations

from typing import Any

CODES = {
    "InternalError": 1,
    "BadValue": 2,
    "UnknownError": 8,
    "FailedToParse": 9,
    "Unauthorized": 13,
    "TypeMismatch": 14,
    "InvalidLength": 16,
    "AuthenticationFailed": 18,
    "IllegalOperation": 20,
    "NamespaceNotFound": 26,
    "CursorNotFound": 43,
    "CursorInUse": 12051,
    "MaxTimeMSExpired": 50,
    "CommandNotFound": 59,
    "InvalidOptions": 72,
    "InvalidNamespace": 73,
    "ShutdownInProgress": 91,
    "CommandNotSupported": 115,
    "NotImplemented": 238,
    "NoSuchTransaction": 251,
    "TooManyLogicalSessions": 261,
    "ExceededTimeLimit": 262,
    "QueryExceededMemoryLimitNoDiskUseAllowed": 292,
    "APIVersionError": 322,
    "DataCorruptionDetected": 351,
    "BSONObjectTooLarge": 10334,
    "Location40415": 40415,
    "Location40571": 40571,
}
"""Of MongoDB's error codes (`src/mongo/base/error_codes.yml`) those that are given here."""

_LABELS = {"NoSuchTransaction": {"errorLabels": ["TransientTransactionError"]}}
"""What tells a driver that all of the transaction may be tried again."""


class CommandError(Exception):
    """A command is refused; a `WireServer` answers it as an error document."""

    def __init__(self, code_name: str, errmsg: str) -> None:
        super().__init__(errmsg)
        self.code_name = code_name
        self.errmsg = errmsg

    def document(self) -> dict[str, Any]:
        return error_document(self.code_name, self.errmsg)


def error_document(code_name: str, errmsg: str) -> dict[str, Any]:
    """What a driver reads as an OperationFailure; `code_name` is one of `CODES`."""
    told = {"ok": 0.0, "errmsg": errmsg, "code": CODES[code_name], "codeName": code_name}
    return told | _LABELS.get(code_name, {})
