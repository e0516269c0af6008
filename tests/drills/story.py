"""The evidence of a drill that never ran: written by hand, one line at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from blackstart.drills.checks import RULES, Status
from blackstart.drills.evidence import Evidence
from blackstart.drills.journal import Journal
from blackstart.drills.oracle import Oracle, Served, State, empty_state
from blackstart.drills.world.repositories import Commit
from blackstart.model import Deploy, DeployState, Metadata, Plan
from blackstart.safeguards import Safeguards

DAMAGE = {"schema": 2}
CREATED = datetime(2017, 2, 1, tzinfo=UTC)
PAGE = "index.html"


class Story:
    """Sites, deploys and what happened to them; `evidence` is what checks are given.

    It is the journal's clock as well: `now` is the offset from the fault, and
    `actor_name` who acts.
    """

    def __init__(self, *safeguards: str) -> None:
        self.now = 0.0
        self.actor_name = "world"
        self.journal = Journal(self, 0.0)  # type: ignore[arg-type]
        self.commits: dict[str, Commit] = {}
        self.oracle = Oracle(self.commits)
        self.safeguards = Safeguards(safeguards)

    @property
    def evidence(self) -> Evidence:
        return Evidence(self.journal, self.oracle, self.safeguards)

    def time(self) -> float:
        return self.now

    def tell(
        self, offset_s: float, action: str, subject: str, *, by: str = "world", **details: Any
    ) -> None:
        """One more line of the journal."""
        self.now, self.actor_name = offset_s, by
        self.journal(action, subject, **details)

    def site(self, name: str, plan: Plan = Plan.FREE, *, shows: str, at_the_end: str = "") -> None:
        """A site, whose id is `id-NAME`."""
        key = f"id-{name}"
        for state in (self.oracle.morning, self.oracle.before, self.oracle.after):
            state.sites[key] = _site(key, name, plan, shows)
        self.oracle.final.sites[key] = _site(key, name, plan, at_the_end or shows)

    def deploy(
        self,
        key: str,
        site: str,
        number: int = 1,
        *,
        hit: bool = False,
        mended: bool = False,
    ) -> None:
        """A completed deploy from before the fault, of one page whose blob is `blob-KEY`."""
        sound = _deploy(key, site, number)
        damaged = {**sound, "metadata": DAMAGE} if hit else sound
        self.oracle.morning.deploys[key] = sound
        self.oracle.before.deploys[key] = sound
        self.oracle.after.deploys[key] = damaged
        self.oracle.final.deploys[key] = sound if mended else damaged
        self.commits[f"commit-{key}"] = Commit(f"commit-{key}", {PAGE: f"blob-{key}"})

    def new_deploy(self, offset_s: float, key: str, site: str, number: int) -> None:
        """A deploy made during the day, completed at once."""
        self.oracle.final.deploys[key] = _deploy(key, site, number)
        self.commits[f"commit-{key}"] = Commit(f"commit-{key}", {PAGE: f"blob-{key}"})
        self.tell(offset_s, "deploy.announced", key, number=number, commit=f"commit-{key}")
        self.tell(offset_s, "deploy.ready", key, site=f"id-{site}")

    def visit(
        self,
        offset_s: float,
        site: str,
        status: int = 200,
        *,
        blob: str | None = None,
        node: str = "ams",
        path: str = "/",
        cache: str = "miss",
        person: bool = True,
        by: str = "visitors",
        took_s: float = 0.0,
    ) -> None:
        """A page view that was answered at `offset_s`."""
        self.tell(
            offset_s,
            "visit",
            site + path,
            by=by,
            site=site,
            path=path,
            node=node,
            status=status,
            cache=cache,
            asked_at=offset_s - took_s,
            person=person,
            blob=blob,
        )

    def page(self, key: str, site: str, status: int = 200, *, blob: str | None = None) -> None:
        """The last reader's look at the page of a deploy."""
        served = Served(site, key, f"/{PAGE}", status, blob)
        self.oracle.deploy_pages.append(served)


def _site(key: str, name: str, plan: Plan, shows: str) -> dict[str, Any]:
    return {"_id": key, "name": name, "plan": plan.value, "published_deploy_id": shows}


def _deploy(key: str, site: str, number: int) -> dict[str, Any]:
    return Deploy(
        id=key,
        site_id=f"id-{site}",
        number=number,
        state=DeployState.READY,
        branch="main",
        commit_ref=f"commit-{key}",
        build_id=None,
        created_at=CREATED,
        metadata=Metadata(
            tree="0" * 64, completed_at=CREATED, file_count=1, byte_count=1, pending_uploads=[]
        ),
    ).to_mongo()


def copy_of(state: State) -> State:
    """A state of its own, with the same documents."""
    copy = empty_state()
    for name, documents in state.collections.items():
        copy.collections[name].update(documents)
    return copy


BY_ID = {rule.id: rule for rule in RULES}
PASSED, FAILED, UNKNOWN = Status.PASSED, Status.FAILED, Status.UNKNOWN


def status(check: str, story: Story) -> Status:
    return BY_ID[check].run(story.evidence).status


def small(*safeguards: str, mended: bool = False) -> Story:
    """One site that shows a damaged deploy, and eighteen that are well: 5.2 % is one of them."""
    story = Story(*safeguards)
    story.deploy("d1", "hurt", 1, hit=True, mended=mended)
    story.site("hurt", shows="d1")
    for number in range(2, 20):
        story.deploy(f"d{number}", f"well-{number}", 1)
        story.site(f"well-{number}", shows=f"d{number}")
    return story
