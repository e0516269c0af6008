"""Makes a plan: every broken deploy is offered to one source after the other, best route first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blackstart.clock import Clock
from blackstart.model import Context, DeployState, InvalidDeploy, parse_deploy
from blackstart.recovery.exact import collection
from blackstart.recovery.find import FileCheck, Progress, SiteNotes, nobody_watches
from blackstart.recovery.plan.assess import Accepted, Assessor
from blackstart.recovery.plan.entry import Entry
from blackstart.recovery.plan.file import Header, SourceNote, encode_entry, write_plan
from blackstart.recovery.plan.ways import BuildCheck, SiteWays, Way, unchecked
from blackstart.recovery.sources.source import Offer, Refusal, Route, Source
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore

BATCH = 1_000
ROUND = 20_000
"""So many broken deploys are held at a time; with more, the sources are asked again."""
OFFERS_AT_ONCE = 200
REFUSALS_KEPT = 6


@dataclass(frozen=True)
class Wish:
    """What to plan: with which routes, for which sites (None: all), how closely to look.

    With `deep` every file of every tree is read and hashed; else it counts as
    there when the object store says so.
    """

    routes: Collection[Route] = tuple(Route)
    sites: Collection[str] | None = None
    deep: bool = True


class Planner:
    """Makes plans for one database from some sources, given best first."""

    def __init__(
        self,
        store: MetadataStore,
        objects: ObjectStore,
        sources: Sequence[Source],
        *,
        clock: Clock,
        seed: Seed,
        safeguards: Safeguards,
        can_build: BuildCheck = unchecked,
    ) -> None:
        self._store = store
        self._objects = objects
        self._sources = sources
        self._clock = clock
        self._seed = seed
        self._safeguards = safeguards
        self._can_build = can_build

    async def make(
        self, path: Path, wish: Wish | None = None, *, progress: Progress = nobody_watches
    ) -> Header:
        """Look at every deploy and write the plan; `progress` is told how many have passed.

        A broken deploy takes 2 KB of memory in the plan, and some 5 KB while its
        round lasts. Raises: UsageError when the file exists; StorageError;
        PyMongoError when the database fails.
        """
        work = await self._start(wish or Wish())
        await work.look_at_all(progress)
        await work.look_for_ways()
        header = self._header(work)
        write_plan(path, header, work.lines())
        return header

    async def _start(self, wish: Wish) -> _Work:
        files = FileCheck(self._objects, deep=wish.deep)
        ways = SiteWays(
            self._store,
            files,
            routes=wish.routes,
            safeguards=self._safeguards,
            can_build=self._can_build,
        )
        sources = [source for source in self._sources if source.route in wish.routes]
        notes = await SiteNotes.read(self._store)
        return _Work(self._store, notes, sources, Assessor(self._store, files), ways, wish)

    def _header(self, work: _Work) -> Header:
        made_at = self._clock.now()
        return Header(
            id=f"{made_at:%Y%m%dT%H%M%SZ}-{self._seed.new_id()[:8]}",
            database=self._store.database.name,
            made_at=made_at,
            deploys=work.routes.total(),
            routes={route.value: work.routes[route] for route in Route if work.routes[route]},
            sources=[
                SourceNote(source.name, source.route.value, list(source.problems))
                for source in work.sources
            ],
        )


class _Work:
    """One plan in the making."""

    def __init__(
        self,
        store: MetadataStore,
        notes: SiteNotes,
        sources: Sequence[Source],
        assessor: Assessor,
        ways: SiteWays,
        wish: Wish,
    ) -> None:
        self.routes: Counter[Route] = Counter()
        self.sources = sources
        self._store = store
        self._notes = notes
        self._assessor = assessor
        self._ways = ways
        self._wish = wish
        self._lines: list[tuple[tuple[Any, ...], bytes]] = []
        self._left: list[tuple[InvalidDeploy, list[str]]] = []

    async def look_at_all(self, progress: Progress) -> None:
        """Every broken deploy, in rounds."""
        done = 0
        broken: dict[str, InvalidDeploy] = {}
        query = {} if self._wish.sites is None else {"site_id": {"$in": sorted(self._wish.sites)}}
        cursor = collection(self._store, "deploys").find(query).sort("_id", 1).batch_size(BATCH)
        async for raw in cursor:
            deploy = parse_deploy(raw)
            if isinstance(deploy, InvalidDeploy):
                broken[deploy.id] = deploy
            done += 1
            if done % BATCH == 0:
                progress(done)
            if len(broken) == ROUND:
                await self._round(broken)
                broken = {}
        await self._round(broken)
        progress(done)

    async def look_for_ways(self) -> None:
        """For what no source brings back: its site may still show something good."""
        for deploy, refused in self._left:
            way = Way(Route.NONE)
            if deploy.id == self._notes.of(deploy.site_id).shown:
                way = await self._ways.find(deploy)
            self._add_way(deploy, way, refused)

    def lines(self) -> Iterable[bytes]:
        """The entries in the order of the plan."""
        return (line for _, line in sorted(self._lines))

    async def _round(self, broken: dict[str, InvalidDeploy]) -> None:
        remaining = dict(broken)
        refused: dict[str, list[str]] = {}
        for source in self.sources:
            if remaining:
                await self._ask(source, remaining, refused)
        self._left += [(deploy, refused.get(key, [])) for key, deploy in remaining.items()]

    async def _ask(
        self,
        source: Source,
        remaining: dict[str, InvalidDeploy],
        refused: dict[str, list[str]],
    ) -> None:
        """Take what a source offers and what holds; it stays in `remaining` otherwise."""
        offered: list[Offer] = []
        async for answer in source.offers(dict(remaining)):
            if isinstance(answer, Refusal):
                refused.setdefault(answer.deploy_id, []).append(answer.why)
                continue
            offered.append(answer)
            if len(offered) == OFFERS_AT_ONCE:
                await self._judge(source, offered, remaining, refused)
                offered = []
        await self._judge(source, offered, remaining, refused)

    async def _judge(
        self,
        source: Source,
        offered: list[Offer],
        remaining: dict[str, InvalidDeploy],
        refused: dict[str, list[str]],
    ) -> None:
        pairs = [(remaining[o.deploy_id], o) for o in offered if o.deploy_id in remaining]
        for found in await self._assessor.assess(pairs):
            if isinstance(found, Refusal):
                why = f"{source.name}: {found.why}"
                refused.setdefault(found.deploy_id, []).append(why)
            elif found.offer.deploy_id in remaining:
                deploy = remaining.pop(found.offer.deploy_id)
                self._add_restored(deploy, source, found, refused.get(deploy.id, []))

    def _add_restored(
        self, deploy: InvalidDeploy, source: Source, found: Accepted, refused: list[str]
    ) -> None:
        before = {name: deploy.raw[name] for name in ("state", "metadata") if name in deploy.raw}
        raw = deploy.raw
        if raw.get("state") == DeployState.READY and raw.get("context") == Context.PRODUCTION:
            self._ways.restored.setdefault(deploy.site_id, []).append((deploy.number, deploy.id))
        self._add(
            deploy,
            route=source.route,
            source=source.name,
            before=before,
            after={"metadata": found.metadata},
            evidence=[found.offer.evidence],
            inferred=found.inferred,
            refused=refused,
        )

    def _add_way(self, deploy: InvalidDeploy, way: Way, refused: list[str]) -> None:
        shown = self._notes.of(deploy.site_id).shown
        self._add(
            deploy,
            route=way.route,
            source=way.source,
            before={} if way.route is Route.NONE else {"published_deploy_id": shown},
            after=way.after,
            evidence=way.evidence,
            inferred=[],
            refused=[*refused, *way.refused],
        )

    def _add(self, deploy: InvalidDeploy, *, refused: list[str], **fields: Any) -> None:
        note = self._notes.of(deploy.site_id)
        entry = Entry(
            deploy_id=deploy.id,
            site_id=deploy.site_id,
            site=note.name,
            plan=note.plan,
            number=deploy.number,
            shown=deploy.id == note.shown,
            refused=list(_shortened(refused)),
            **fields,
        )
        self.routes[entry.route] += 1
        self._lines.append((entry.order, encode_entry(entry)))


def _shortened(refused: list[str]) -> Iterator[str]:
    yield from refused[:REFUSALS_KEPT]
    if len(refused) > REFUSALS_KEPT:
        yield f"and {len(refused) - REFUSALS_KEPT} more"
