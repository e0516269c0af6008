"""Bringing documents back from a snapshot: some of them or some of their fields, and no others."""

from blackstart.recovery.restoring.order import Order
from blackstart.recovery.restoring.report import Report
from blackstart.recovery.restoring.run import Restorer
from blackstart.recovery.restoring.target import parse_fields
from blackstart.recovery.restoring.undoing import RestoreUndoer
from blackstart.recovery.restoring.wanted import Wanted

__all__ = ["Order", "Report", "RestoreUndoer", "Restorer", "Wanted", "parse_fields"]
