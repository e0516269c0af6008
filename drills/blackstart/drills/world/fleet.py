"""A fleet of sites with a past: repositories, commits, deploys, and what is still to be pushed.

`plan_fleet` draws everything from the seed; `Fleet` is then put into real
git repositories, MongoDB and the object store by `blackstart.drills.world.seeding`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from blackstart.drills.world.content import git_blob_id, page_bytes, page_paths, site_name, url_path
from blackstart.drills.world.repositories import (
    Commit,
    CommitStream,
    UserRepository,
    make_repository,
)
from blackstart.errors import UsageError
from blackstart.model import Plan
from blackstart.seed import Seed

MIN_SITES = 20
MAX_SITES = 20_000
MIN_PER_PLAN = 4
PLAN_SHARES = ((Plan.ENTERPRISE, 0.04), (Plan.GLOBAL, 0.08), (Plan.PRO, 0.18), (Plan.FREE, 0.70))
ZIPF_EXPONENT = 0.9
HISTORY_DAYS = 90
ROLLED_BACK_SHARE = 0.06
INTERRUPTED_SHARE = 0.04
PUSHED_SINCE_SNAPSHOT_SHARE = 0.06
PUSHED_DURING_INCIDENT_SHARE = 0.12


@dataclass
class Revision:
    """One version of a generated site: its commit, and the bytes it changed."""

    changed: dict[str, bytes]
    commit: Commit | None = None


@dataclass
class FleetSite:
    """One site of the fleet.

    `revisions` are its commits, oldest first: the first `deployed` of them
    were deployed in the past, the others wait for their author to push them.
    `published` is the index of the one on show. `interrupted` says that
    somebody began to deploy the next one from a laptop and was cut off.
    `paths` are the pages visitors ask for, as (URL path, file), best liked first.
    """

    name: str
    plan: Plan
    repository: Path
    revisions: list[Revision]
    deployed: int
    published: int
    paths: list[tuple[str, str]]
    weight: float = 0.0
    interrupted: bool = False
    push_since_snapshot: bool = False
    push_during_incident: bool = False
    user: UserRepository | None = None

    def blob_id(self, data: bytes) -> str:
        """The id that bytes have in this site's repository."""
        sha256 = self.user is not None and self.user.object_format == "sha256"
        return git_blob_id(data, sha256=sha256)

    def commit(self, index: int) -> Commit:
        commit = self.revisions[index].commit
        assert commit is not None, "the fleet's repositories were not made yet"
        return commit


@dataclass
class Fleet:
    """All sites, the user's own first; `folder` holds the repositories."""

    sites: list[FleetSite]
    folder: Path
    commits: dict[str, Commit] = field(default_factory=dict)

    def make_repositories(self, start: float) -> None:
        """Write every commit and repository. `start` is when the story begins, unix seconds.

        Raises: RepositoryError.
        """
        stream = CommitStream()
        generated = [site for site in self.sites if site.user is None]
        for site in generated:
            for index, revision in enumerate(site.revisions):
                age_s = (len(site.revisions) - index) * 86_400
                stream.add(
                    site.name,
                    revision.changed,
                    time_s=int(start) - age_s,
                    message=f"Revision {index + 1}",
                )
        ids = iter(stream.run(self.folder / "shared.git"))
        for site in generated:
            files: dict[str, str] = {}
            for revision in site.revisions:
                changed = {path: git_blob_id(data) for path, data in revision.changed.items()}
                files = {**files, **changed}
                revision.commit = Commit(next(ids), files)
        for site in self.sites:
            objects, object_format = self.folder / "shared.git" / "objects", "sha1"
            if site.user is not None:
                objects, object_format = site.user.objects, site.user.object_format
            head = site.commit(site.deployed - 1).id
            make_repository(site.repository, objects, head, object_format)
            for index in range(len(site.revisions)):
                self.commits[site.commit(index).id] = site.commit(index)


def check_site_count(count: int) -> None:
    """Raises: UsageError when a fleet of that size can't show what an incident is about."""
    if not MIN_SITES <= count <= MAX_SITES:
        raise UsageError(
            f"cannot make a fleet of {count} sites",
            hint=f"choose --sites between {MIN_SITES} and {MAX_SITES}",
        )


def plan_fleet(
    site_count: int, seed: Seed, folder: Path, repositories: Sequence[UserRepository]
) -> Fleet:
    """Draw a fleet of `site_count` generated sites and one more for each user repository."""
    random = seed.fork("fleet").random
    plans = _plans(site_count, random)
    generated = [_generated(index, plan, folder, random) for index, plan in enumerate(plans)]
    _mark(generated, random)
    users = [_user_site(index, found, folder) for index, found in enumerate(repositories)]
    fleet = Fleet([*users, *generated], folder)
    _weigh(fleet.sites, random)
    return fleet


def _plans(count: int, random: Random) -> list[Plan]:
    """Every paid plan a few times, the rest by share."""
    plans: list[Plan] = []
    for plan, share in PLAN_SHARES[:-1]:
        plans += [plan] * max(MIN_PER_PLAN, round(count * share))
    plans += [Plan.FREE] * (count - len(plans))
    random.shuffle(plans)
    return plans


def _generated(index: int, plan: Plan, folder: Path, random: Random) -> FleetSite:
    name = site_name(index, random)
    paths = page_paths(random)
    deployed = random.randint(2, 13)
    revisions = []
    for number in range(1, deployed + 3):
        some = random.sample(paths, k=random.randint(1, 2))
        changed = paths if number == 1 else [path for path in paths if path in some]
        # Every revision changes the home page, so that no two of them are the same tree.
        changed = changed if "index.html" in changed else ["index.html", *changed]
        revisions.append(
            Revision({path: page_bytes(name, path, number, random) for path in changed})
        )
    visited = [(url_path(path), path) for path in paths if path != "404.html"]
    return FleetSite(
        name=name,
        plan=plan,
        repository=folder / "sites" / f"{name}.git",
        revisions=revisions,
        deployed=deployed,
        published=deployed - 1,
        paths=visited,
    )


def _user_site(index: int, user: UserRepository, folder: Path) -> FleetSite:
    newest = user.commits[-1]
    pages = sorted(newest.files, key=lambda path: (path != "index.html", path))
    return FleetSite(
        name=f"{user.name}-{index:04d}u",
        plan=Plan.ENTERPRISE,
        repository=folder / "sites" / f"{user.name}-{index:04d}u.git",
        revisions=[Revision({}, commit) for commit in user.commits],
        deployed=len(user.commits),
        published=len(user.commits) - 1,
        paths=[(f"/{path}", path) for path in pages],
        user=user,
    )


def _mark(sites: list[FleetSite], random: Random) -> None:
    """Choose who was rolled back, cut off in an upload, and who pushes when."""
    laptops = [site for site in sites if site.plan in (Plan.FREE, Plan.PRO)]
    cut_off = random.sample(laptops, k=max(3, round(len(sites) * INTERRUPTED_SHARE)))
    for site in cut_off:
        site.interrupted = True
    others = [site for site in sites if not site.interrupted]
    morning = random.sample(others, k=max(4, round(len(sites) * PUSHED_SINCE_SNAPSHOT_SHARE)))
    for site in morning:
        site.push_since_snapshot = True
    busy = random.sample(others, k=max(6, round(len(sites) * PUSHED_DURING_INCIDENT_SHARE)))
    for site in busy:
        site.push_during_incident = True
    for site in others:
        if not site.push_since_snapshot and random.random() < ROLLED_BACK_SHARE:
            site.published = site.deployed - 2


def _weigh(sites: list[FleetSite], random: Random) -> None:
    """Zipf popularity; who pays more tends to be more popular, the user's own sites most."""
    bias = {Plan.ENTERPRISE: 0.05, Plan.GLOBAL: 0.2, Plan.PRO: 0.6, Plan.FREE: 1.0}
    drawn = [(0.0 if site.user else random.random() * bias[site.plan]) for site in sites]
    ranking = sorted(range(len(sites)), key=lambda index: (drawn[index], index))
    for rank, index in enumerate(ranking):
        sites[index].weight = 1.0 / (rank + 1) ** ZIPF_EXPONENT
