"""What checks judge by: the journal and the oracle, and the questions both answer together."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from blackstart.drills.journal import Entry, Journal
from blackstart.drills.oracle import Oracle
from blackstart.model import DeployState, Plan
from blackstart.safeguards import Safeguards

PURGE_GRACE_S = 5.0


@dataclass(frozen=True)
class Evidence:
    """Journal and oracle of one drill. Times are offsets from the fault, in seconds."""

    journal: Journal
    oracle: Oracle
    safeguards: Safeguards

    @cached_property
    def hit(self) -> frozenset[str]:
        """Ids of the deploys the fault damaged."""
        return frozenset(self.oracle.hit)

    @cached_property
    def prevented(self) -> bool:
        """Whether something stopped the fault before it did anything."""
        stopped = self.journal.of("fault.stopped")
        return bool(stopped) and not self.journal.of("fault.injected") and not self.hit

    @property
    def lived(self) -> bool:
        """Whether the day went on after the fault: it does not where that simply did nothing."""
        return bool(self.hit) or self.prevented

    @cached_property
    def fault_s(self) -> float:
        """When the fault took effect: later than planned where somebody had to be asked first."""
        return next((entry.offset_s for entry in self.journal.of("fault.injected")), 0.0)

    @cached_property
    def site_ids(self) -> dict[str, str]:
        """Name -> id."""
        return {raw["name"]: key for key, raw in self.oracle.morning.sites.items()}

    @cached_property
    def plans(self) -> dict[str, Plan]:
        """Site name -> plan."""
        return {raw["name"]: Plan(raw["plan"]) for raw in self.oracle.morning.sites.values()}

    @cached_property
    def newest_backup_s(self) -> float | None:
        """When the newest snapshot before the fault was taken; None when there was none."""
        taken = [entry.offset_s for entry in self.journal.of("snapshot.taken")]
        return max((offset_s for offset_s in taken if offset_s < self.fault_s), default=None)

    @cached_property
    def repaired_at(self) -> dict[str, float]:
        """Damaged deploy -> when its metadata was put back."""
        return {entry.subject: entry.offset_s for entry in self.journal.of("deploy.restored")}

    @cached_property
    def commits(self) -> dict[str, str | None]:
        """Deploy -> commit, for all that ever were."""
        known: dict[str, str | None] = {
            key: raw["commit_ref"] for key, raw in self.oracle.morning.deploys.items()
        }
        for entry in self.journal.of("deploy.announced"):
            known[entry.subject] = entry.details["commit"]
        return known

    @cached_property
    def numbers(self) -> dict[str, int]:
        """Deploy -> number within its site."""
        known = {key: int(raw["number"]) for key, raw in self.oracle.morning.deploys.items()}
        for entry in self.journal.of("deploy.announced"):
            known[entry.subject] = entry.details["number"]
        return known

    @cached_property
    def ready_since(self) -> dict[str, list[tuple[str, float]]]:
        """Site id -> (deploy, when it was completed), for all that ever were."""
        ready: dict[str, list[tuple[str, float]]] = {}
        for key, raw in self.oracle.morning.deploys.items():
            if raw["state"] == DeployState.READY:
                ready.setdefault(raw["site_id"], []).append((key, float("-inf")))
        for entry in self.journal.of("deploy.ready"):
            ready.setdefault(entry.details["site"], []).append((entry.subject, entry.offset_s))
        return ready

    @cached_property
    def missing(self) -> dict[str, frozenset[str]]:
        """Deploy -> its paths that a reader found missing at the very end."""
        found: dict[str, set[str]] = {}
        for page in self.oracle.deploy_pages:
            if page.status != 200:
                found.setdefault(page.deploy_id, set()).add(page.path.removeprefix("/"))
        return {deploy: frozenset(paths) for deploy, paths in found.items()}

    @cached_property
    def publishings(self) -> dict[str, tuple[list[float], list[str]]]:
        """Site id -> times and deploys of every change of what it shows, in order."""
        known = {
            key: ([float("-inf")], [str(raw["published_deploy_id"])])
            for key, raw in self.oracle.morning.sites.items()
        }
        for entry in self.journal.of("site.published", "site.reverted"):
            times, deploys = known[entry.subject]
            times.append(entry.offset_s)
            deploys.append(entry.details["deploy"])
        return known

    def shown(self, site_id: str, at_s: float) -> str:
        """The deploy a site showed at a time."""
        times, deploys = self.publishings[site_id]
        return deploys[bisect_right(times, at_s) - 1]

    def shown_during(self, site_id: str, from_s: float, to_s: float) -> list[str]:
        """Every deploy a site showed at some moment of a span."""
        times, deploys = self.publishings[site_id]
        return deploys[bisect_right(times, from_s) - 1 : bisect_right(times, to_s)]

    def damaged(self, deploy_id: str, at_s: float) -> bool:
        """Whether a deploy's metadata was gone at a time."""
        mended_s = self.repaired_at.get(deploy_id, float("inf"))
        return deploy_id in self.hit and self.fault_s <= at_s < mended_s

    def visits(self) -> Iterator[Entry]:
        """Page views after the fault."""
        return (entry for entry in self.journal.of("visit") if entry.details["asked_at"] >= 0)

    def right_blobs(self, visit: Entry) -> set[str]:
        """The git blobs that are right answers to a visit: of what the site showed at its time.

        A publish is followed by its purge within `PURGE_GRACE_S`.
        """
        site_id = self.site_ids[visit.details["site"]]
        since = visit.details["asked_at"] - PURGE_GRACE_S
        right = set()
        for deploy in self.shown_during(site_id, since, visit.offset_s):
            blob = self.truth(deploy, visit.details["path"])
            if blob is not None:
                right.add(blob)
        return right

    def truth(self, deploy_id: str, url_path: str) -> str | None:
        """The git blob a URL path of a deploy must give; None when its commit has no such file."""
        commit = self.commits[deploy_id]
        if commit is None:
            return None
        files = self.oracle.commits[commit].files
        path = file_of(url_path, files)
        return None if path is None else files[path]

    def broken_for(self, visit: Entry) -> bool | None:
        """Whether a visit met a damaged deploy; None when that changed while it was under way."""
        site_id = self.site_ids[visit.details["site"]]
        states = {
            self.damaged(self.shown(site_id, at_s), at_s)
            for at_s in (visit.details["asked_at"], visit.offset_s)
        }
        return states.pop() if len(states) == 1 else None


def file_of(url_path: str, files: Mapping[str, str]) -> str | None:
    """The file of a commit that a URL path means, by the documented rule of pretty URLs."""
    path = url_path.lstrip("/")
    if path == "" or path.endswith("/"):
        candidates = [f"{path}index.html", f"{path.rstrip('/')}.html"]
    else:
        candidates = [path, f"{path}.html", f"{path}/index.html"]
    return next((candidate for candidate in candidates if candidate in files), None)
