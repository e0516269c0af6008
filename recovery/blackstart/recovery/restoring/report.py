"""How bringing back, or taking that back, went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from blackstart.recovery.apply.change import Outcome, Tally
from blackstart.recovery.diff import Difference, Summary
from blackstart.recovery.restoring.swaps import Swap, Verdict
from blackstart.recovery.snapshots import Gap

SAMPLE = 5


@dataclass
class Report:
    """`summary` and `sample` tell of what was done, or would be; `run` is blank for nothing.

    `gaps` is what could not be read of the snapshot. `made` names the collections that were not
    there. `spared` documents were not removed since the snapshot may hold them in a gap.
    """

    run: str = ""
    tally: Tally = field(default_factory=Tally)
    summary: Summary = field(default_factory=Summary)
    sample: list[Difference] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    spared: int = 0

    @property
    def smooth(self) -> bool:
        """Whether all that was asked for is so now."""
        return self.tally.smooth and not self.gaps and not self.spared

    def add(self, swaps: Iterable[Swap], verdicts: Mapping[str, Verdict]) -> None:
        """What became of some documents."""
        for swap in swaps:
            outcome, why = verdicts[swap.name]
            self.tally.add(swap.name, outcome, why)
            if outcome is Outcome.APPLIED:
                difference = Difference(swap.collection, swap.expect, swap.put)
                self.summary.add(swap.collection, difference.kind, difference.fields)
                if len(self.sample) < SAMPLE:
                    self.sample.append(difference)
