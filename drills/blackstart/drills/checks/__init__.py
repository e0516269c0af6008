"""The checks of a drill, in the order they are printed."""

from blackstart.drills.checks import builds, cause, damage, readers, recovery, safety, visitors
from blackstart.drills.checks.check import Check, Rule, Status
from blackstart.drills.checks.prevented import PREVENTED

RULES: tuple[Rule, ...] = (
    *damage.RULES,
    *visitors.RULES,
    *readers.RULES,
    *builds.RULES,
    *recovery.RULES,
    *safety.RULES,
    *cause.RULES,
)

__all__ = ["PREVENTED", "RULES", "Check", "Rule", "Status"]
