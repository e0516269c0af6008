"""Applying a plan: what is done to deploys and sites, and the journal of it."""

from blackstart.recovery.apply.change import Outcome, Tally
from blackstart.recovery.apply.deeds import Deeds
from blackstart.recovery.apply.journal import Runs
from blackstart.recovery.apply.run import Applier, Pace, Report
from blackstart.recovery.apply.steps import SiteSteps

__all__ = ["Applier", "Deeds", "Outcome", "Pace", "Report", "Runs", "SiteSteps", "Tally"]
