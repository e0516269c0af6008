"""How each damaged deploy came back, and how long each site was down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import mean, median
from typing import Any

from blackstart.drills.evidence import Evidence
from blackstart.model import InvalidDeploy, Plan, parse_deploy

SPAN_S = 600.0


class Fate(StrEnum):
    """How a damaged deploy was dealt with, the most exact way first.

    One is restored when it has its own tree and counts again, whoever tells of it.
    """

    RESTORED = "restored"
    PUSHED_THROUGH = "pushed_through"
    REBUILT = "rebuilt"
    REVERTED = "reverted"
    LOST = "lost"


def fates(evidence: Evidence) -> dict[str, Fate]:
    """Damaged deploy -> its fate, by what the database holds at the end."""
    pushed = {entry.details["deploy"] for entry in evidence.journal.of("build.pushed")}
    return {deploy: _fate(evidence, deploy, pushed) for deploy in sorted(evidence.hit)}


def _fate(evidence: Evidence, deploy_id: str, pushed: set[str]) -> Fate:
    before = evidence.oracle.before.deploys[deploy_id]
    final = evidence.oracle.final.deploys.get(deploy_id)
    if final is not None and _is_back(before, final):
        return Fate.RESTORED
    shown = str(evidence.oracle.final.sites[before["site_id"]]["published_deploy_id"])
    current = evidence.oracle.final.deploys.get(shown)
    if current is None or isinstance(parse_deploy(current), InvalidDeploy):
        return Fate.LOST
    if int(current["number"]) < int(before["number"]):
        return Fate.REVERTED
    return Fate.PUSHED_THROUGH if shown in pushed else Fate.REBUILT


def _is_back(before: dict[str, Any], final: dict[str, Any]) -> bool:
    """Exactly as it was, but for when it was completed: not every source of a tree knows that."""
    was, now = before["metadata"], final["metadata"]
    if now == was:
        return True
    if isinstance(parse_deploy(final), InvalidDeploy) or was["tree"] is None:
        return False
    return {**now, "completed_at": None} == {**was, "completed_at": None}


def outcomes(evidence: Evidence) -> dict[str, int]:
    """How many damaged deploys had each fate; the numbers add up to all of them."""
    counted = Counter(fates(evidence).values())
    return {fate.value: counted[fate] for fate in Fate}


def availability(evidence: Evidence) -> dict[str, float]:
    """Plan -> share of people's visits after the fault that were answered, 0 to 1.

    The mean over spans of ten minutes: traffic is a sample that is denser
    around the fault, and each span counts the same.
    """
    total: Counter[tuple[Plan, int]] = Counter()
    good: Counter[tuple[Plan, int]] = Counter()
    for visit in evidence.visits():
        if visit.actor == "visitors" and visit.details["person"]:
            span = evidence.plans[visit.details["site"]], int(visit.offset_s // SPAN_S)
            total[span] += 1
            good[span] += visit.details["status"] < 400
    shares: dict[Plan, list[float]] = {}
    for span, visits in total.items():
        shares.setdefault(span[0], []).append(good[span] / visits)
    return {plan.value: round(mean(shares[plan]), 6) for plan in Plan if plan in shares}


def downtime_s(evidence: Evidence) -> dict[str, float]:
    """Site name -> seconds of downtime, for every site of the fleet.

    A site is down from the first visit of a person that failed until the page is
    answered by the same node again (whoever met the error keeps reloading).
    """
    down = dict.fromkeys(evidence.plans, 0.0)
    failing: dict[str, tuple[float, str, str]] = {}
    for visit in evidence.visits():
        site, where = visit.details["site"], (visit.details["path"], visit.details["node"])
        ok = visit.details["status"] < 400
        if site not in failing and not ok and visit.details["person"]:
            failing[site] = (visit.offset_s, *where)
        elif site in failing and ok and failing[site][1:] == where:
            down[site] += visit.offset_s - failing.pop(site)[0]
    end_s = max((visit.offset_s for visit in evidence.visits()), default=0.0)
    for site, (since_s, _, _) in failing.items():
        down[site] += end_s - since_s
    return down


def downtime_by_plan(evidence: Evidence) -> dict[str, dict[str, float]]:
    """Plan -> median and maximum minutes, over the sites that showed a damaged deploy."""
    affected = affected_sites(evidence)
    down = downtime_s(evidence)
    result = {}
    for plan in Plan:
        minutes = [down[site] / 60 for site in sorted(affected) if evidence.plans[site] is plan]
        if minutes:
            result[plan.value] = {
                "median": round(median(minutes), 1),
                "max": round(max(minutes), 1),
            }
    return result


def affected_sites(evidence: Evidence) -> set[str]:
    """Names of the sites that showed a damaged deploy at the fault."""
    return {
        raw["name"]
        for raw in evidence.oracle.before.sites.values()
        if raw["published_deploy_id"] in evidence.hit
    }


@dataclass(frozen=True)
class OwnSite:
    """What became of a site made of the user's own repository.

    `pages` were read at the end, of which `right_pages` were byte for byte what
    git holds; `came_back` is the fate of the deploy it showed at the fault.
    """

    site: str
    came_back: str
    downtime_min: float
    pages: int
    right_pages: int


def own_sites(evidence: Evidence, names: Sequence[str]) -> list[OwnSite]:
    """The account of each of the user's sites, in the order they were given."""
    came_back = fates(evidence)
    down = downtime_s(evidence)
    result = []
    for name in names:
        shown = evidence.oracle.before.sites[evidence.site_ids[name]]["published_deploy_id"]
        pages = [page for page in evidence.oracle.site_pages if page.site == name]
        right = sum(page.blob == evidence.truth(page.deploy_id, page.path) for page in pages)
        fate = came_back.get(str(shown))
        result.append(
            OwnSite(
                name,
                fate.value if fate else "not damaged",
                round(down[name] / 60, 1),
                len(pages),
                right,
            )
        )
    return result
