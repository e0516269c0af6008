"""The audit trail: append-only, chained, durable before a write runs, and verifiable."""

from blackstart.guard.audit.reading import AuditLine, AuditReading, Wanted, lines_of, read_trail
from blackstart.guard.audit.trail import (
    AUDIT,
    AuditEntry,
    AuditTrail,
    NoTrail,
    TellingTrail,
    open_trail,
)

__all__ = [
    "AUDIT",
    "AuditEntry",
    "AuditLine",
    "AuditReading",
    "AuditTrail",
    "NoTrail",
    "TellingTrail",
    "Wanted",
    "lines_of",
    "open_trail",
    "read_trail",
]
