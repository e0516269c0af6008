"""What differs between two snapshots, or between a snapshot and the live database."""

from blackstart.recovery.diff.compare import Comparison, Difference
from blackstart.recovery.diff.elements import Element, elements, same_fields
from blackstart.recovery.diff.fields import FieldChange, Kind, field_changes
from blackstart.recovery.diff.sides import LiveSide, Side, SnapshotSide
from blackstart.recovery.diff.summary import Summary

__all__ = [
    "Comparison",
    "Difference",
    "Element",
    "FieldChange",
    "Kind",
    "LiveSide",
    "Side",
    "SnapshotSide",
    "Summary",
    "elements",
    "field_changes",
    "same_fields",
]
