"""The plan: how each broken deploy comes back, written down before anything is changed."""

from blackstart.recovery.plan.entry import Entry
from blackstart.recovery.plan.file import Header, PlanFile, SourceNote
from blackstart.recovery.plan.make import Planner, Wish

__all__ = ["Entry", "Header", "PlanFile", "Planner", "SourceNote", "Wish"]
