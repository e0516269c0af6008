"""Outcomes 9 to 12: what the backup can and can't give, downtime, missing files, the account."""

from __future__ import annotations

from typing import Any

from blackstart.drills.accounting import Fate, downtime_s, fates
from blackstart.drills.checks.check import Finding, Rule, some
from blackstart.drills.evidence import Evidence
from blackstart.drills.incidents.feb2 import ALL_RESTORED_S, END_S, FIX_S
from blackstart.drills.timeline import offset_text
from blackstart.model import Plan

ENTERPRISE_MAX_MIN = 10.0
BESIDE_BACKUP = {"pointer-log": "pointer-log", "self-describing-trees": "tree-scan"}
"""Safeguard -> the route by which it brings back what no backup holds."""

UNDER_WAY = frozenset({"new", "uploading", "processing"})


def _newer_than_backup(evidence: Evidence) -> set[str]:
    """Damaged deploys the newest backup before the fault does not hold, by the journal."""
    since = evidence.newest_backup_s
    if since is None:
        return set(evidence.hit)
    made = evidence.journal.of("deploy.announced")
    return {entry.subject for entry in made if entry.offset_s >= since} & evidence.hit


def _backup(evidence: Evidence) -> Finding:
    newer = _newer_than_backup(evidence)
    if not newer and evidence.newest_backup_s is not None:
        taken = offset_text(evidence.newest_backup_s)
        return Finding(f"no damaged deploy is newer than the snapshot of {taken}", True)
    came_back = fates(evidence)
    exact = _from_log_or_trees(evidence)
    restored = sorted(deploy for deploy in newer - exact if came_back[deploy] is Fate.RESTORED)
    lost = sorted(deploy for deploy in newer if came_back[deploy] is Fate.LOST)
    other = newer - exact - {*restored, *lost}
    observed = f"{len(other)} of {len(newer)} by rebuild or revert"
    if newer & exact:
        observed += f", {len(newer & exact)} from the log or the trees"
    if restored:
        observed += f", from the backup: {some(restored)}"
    if lost:
        observed += f", not back: {some(lost)}"
    return Finding(observed, not restored and not lost)


def _from_log_or_trees(evidence: Evidence) -> set[str]:
    """Deploys whose pointer was found in the log or the bucket, where a safeguard kept it there."""
    routes = {name for name in BESIDE_BACKUP if name in evidence.safeguards}
    used = {BESIDE_BACKUP[name] for name in routes}
    told = evidence.journal.of("deploy.restored")
    return {entry.subject for entry in told if entry.details.get("route") in used}


def _enterprise(evidence: Evidence) -> Finding:
    down = downtime_s(evidence)
    minutes = {
        site: down[site] / 60 for site in sorted(down) if evidence.plans[site] is Plan.ENTERPRISE
    }
    too_long = [site for site, value in minutes.items() if value > ENTERPRISE_MAX_MIN]
    none = sum(value == 0 for value in minutes.values())
    observed = (
        f"{none} of {len(minutes)} without downtime, the longest {max(minutes.values()):.1f} min"
    )
    if too_long:
        observed += f": {some(too_long)}"
    return Finding(observed, not too_long and none * 2 > len(minutes))


def _missing_files(evidence: Evidence) -> Finding:
    listed_entries = evidence.journal.of("responders.listed_missing_files")
    if not listed_entries:
        return Finding("nobody listed them", None)
    listed = {
        deploy: frozenset(paths) for _, deploy, paths in listed_entries[-1].details["missing"]
    }
    made_s = {entry.subject: entry.offset_s for entry in evidence.journal.of("deploy.announced")}
    outside = [deploy for deploy in evidence.missing if not 0 <= made_s[deploy] < FIX_S]
    observed = f"{len(listed)} deploys listed, {len(evidence.missing)} have missing files"
    if outside:
        observed += f", made outside T0 to the fix: {some(outside)}"
    exact = listed == evidence.missing and not outside
    if "verified-uploads" in evidence.safeguards:
        return Finding(observed, exact and not listed)
    return Finding(observed, exact and bool(listed))


def _account(evidence: Evidence) -> Finding:
    came_back = fates(evidence)
    lost = sorted(deploy for deploy, fate in came_back.items() if fate is Fate.LOST)
    in_backup = evidence.hit - _newer_than_backup(evidence)
    late = sorted(
        deploy
        for deploy in in_backup
        if evidence.repaired_at.get(deploy, float("inf")) > ALL_RESTORED_S
    )
    changed = healthy_changed(evidence)
    observed = f"{len(came_back) - len(lost)} of {len(came_back)} accounted for"
    for label, deploys in (
        ("lost", lost),
        ("not restored by T+358 min", late),
        ("healthy but changed", changed),
    ):
        if deploys:
            observed += f"; {label}: {some(deploys)}"
    return Finding(observed, not lost and not late and not changed)


def healthy_changed(evidence: Evidence) -> list[str]:
    """Documents from before the fault that are not as they were, beyond what was damaged."""
    before, final = evidence.oracle.before, evidence.oracle.final
    changed = []
    for collection, key in sorted(before.changed(final)):
        known = before.collections[collection].get(key)
        now = final.collections[collection].get(key)
        if known is not None and not _may_become(evidence, collection, known, now):
            changed.append(f"{collection}/{key}")
    return changed


def _may_become(
    evidence: Evidence, collection: str, known: dict[str, Any], now: dict[str, Any] | None
) -> bool:
    """What may change by right: what a site shows, a damaged deploy's metadata, work under way."""
    if now is None or collection == "manifests":
        return False
    if collection == "builds":
        return True
    if collection == "deploys" and known["state"] in UNDER_WAY:
        return True
    free = {"published_deploy_id", "newest_published"} if collection == "sites" else {"metadata"}
    if collection == "deploys" and known["_id"] not in evidence.hit:
        return False
    return {**known, **dict.fromkeys(free)} == {**now, **dict.fromkeys(free)}


ENTERPRISE = Rule(
    "outcome-10",
    "Enterprise sites are hardly down",
    lambda _: f"none for more than {ENTERPRISE_MAX_MIN:.0f} min, most not at all",
    _enterprise,
)

RULES = (
    Rule(
        "outcome-09",
        "Deploys newer than the backup never come from it",
        lambda evidence: (
            "each comes back from the log or the trees, by rebuild or revert"
            if any(name in evidence.safeguards for name in BESIDE_BACKUP)
            else "each comes back by rebuild or revert"
        ),
        _backup,
    ),
    ENTERPRISE,
    Rule(
        "outcome-11",
        "Files that never arrived are found afterwards",
        lambda evidence: (
            "no deploy has missing files: the object store is asked"
            if "verified-uploads" in evidence.safeguards
            else "some deploys made before the fix have missing files, and the list is exact"
        ),
        _missing_files,
    ),
    Rule(
        "outcome-12",
        "Every damaged deploy is accounted for",
        lambda _: (
            f"by T+{END_S / 60:.0f} min each is restored, superseded or reverted past; "
            "nothing healthy was changed"
        ),
        _account,
    ),
)
