"""The checks of a drill, in the order they are printed."""

from blackstart.drills.checks import builds, damage, readers, recovery, safety, visitors
from blackstart.drills.checks.check import Check, Rule, Status

RULES: tuple[Rule, ...] = (
    *damage.RULES,
    *visitors.RULES,
    *readers.RULES,
    *builds.RULES,
    *recovery.RULES,
    *safety.RULES,
)

__all__ = ["RULES", "Check", "Rule", "Status"]
