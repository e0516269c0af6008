"""Whatever happens at the same time, and whoever dies in the middle of it: what visitors see holds.

Workers, clients and people act on a site or two, on the virtual clock. Around each call to the
stores a random time passes, now and then longer than a lease. Actors are killed wherever they
stand. The promises are looked at whenever a document changes, and when all has come to rest.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from blackstart.builder.build import Builder
from blackstart.builder.git import Checkout
from blackstart.builder.worker import Worker
from blackstart.control.builds import BuildService
from blackstart.control.deploys import DeployService
from blackstart.control.publish import Publisher
from blackstart.control.queue import BuildQueue
from blackstart.drills.world.clock import Actor, VirtualClock
from blackstart.errors import BlackstartError, RepositoryError
from blackstart.model import (
    Build,
    BuildState,
    Context,
    Deploy,
    DeployState,
    ManifestFile,
    Plan,
    Repo,
    Site,
)
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.objects import one_chunk
from blackstart.store.pointers import ObjectPointerLog

SEEDS = range(1, 9)
SWEEP = range(100, 100 + 25 * int(os.environ.get("BLACKSTART_SWEEP", "20")))
START, CHAOS_S, PATIENCE_S = 1_486_000_000.0, 120.0, 6_000.0
LEASE_S, TRAIL = 20.0, 60
CHANGES_WHAT_IS_SHOWN = {
    *("sites.publish", "sites.lock", "sites.unlock"),
    *("deploys.move", "deploys.give_up", "deploys.give_up_of_build", "deploys.set_pointer"),
}
CHANGES_A_BUILD = {"builds.insert", "builds.claim", "builds.requeue", "builds.end"}
INVITES_A_RIVAL = {"sites.get", "builds.set_deploy", "deploys.move", "deploys.set_pointer"}
FOR_ITS_HOLDER = {"builds.renew", "builds.set_deploy", "builds.add_log"}
OVER = (DeployState.READY, DeployState.ERROR, DeployState.CANCELLED)


class Hop:
    """Something behind a network: time passes before a call and after it, and all is watched."""

    def __init__(self, inner: Any, name: str, world: World) -> None:
        self._inner = inner
        self._name = name
        self._world = world

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._inner, method)
        if inspect.isasyncgenfunction(call):
            return self._stream(method, call)
        return self._call(method, call) if inspect.iscoroutinefunction(call) else call

    def _call(self, method: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def wrapped(*arguments: Any, **more: Any) -> Any:
            await self._world.hop()
            result = await call(*arguments, **more)
            await self._world.happened(f"{self._name}.{method}", arguments, result)
            await self._world.hop()
            return result

        return wrapped

    def _stream(self, method: str, call: Callable[..., AsyncIterator[Any]]) -> Callable[..., Any]:
        async def wrapped(*arguments: Any, **more: Any) -> AsyncIterator[Any]:
            await self._world.hop()
            async for item in call(*arguments, **more):
                yield item

        return wrapped


class Shelf:
    """A repository per site in memory; a few of its commits never build twice the same."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._heads: dict[str, str] = {}

    def push(self, site: str) -> str:
        self._heads[site] = self._world.seed.random.randbytes(20).hex()
        return self._heads[site]

    async def head(self, repo: Repo) -> str:
        await self._world.hop()
        return self._heads[repo.url]

    async def checkout(self, repo: Repo, commit: str, folder: Path) -> Checkout:
        await self._world.hop()
        draw = self._world.seed.random
        if draw.random() < 0.05:
            raise RepositoryError("the repository is away")
        files = {"index.html": commit, "site.txt": repo.url, "same.txt": "same everywhere"}
        if draw.random() < 0.2:
            files["stamp.txt"] = f"{draw.random()}"
        for path, text in files.items():
            (folder / path).write_text(text)
        return Checkout(commit, folder, sorted(files), [])


class World:
    """All actors, and the eye that watches over what they do."""

    def __init__(self, number: int, store: MetadataStore, folder: Path) -> None:
        self.seed = Seed(number)
        self.clock = VirtualClock(START, self.seed)
        self.plain = store
        self.blobs = ObjectStore.open("memory://")
        self.store = copy.copy(store)
        for name in ("sites", "deploys", "builds"):
            setattr(self.store, name, Hop(getattr(store, name), name, self))
        self.objects = cast(ObjectStore, Hop(self.blobs, "objects", self))
        self.shelf = Shelf(self)
        self.folder = folder
        self.quiet = False
        self.names = Counter[str]()
        self.workers: dict[Actor, Worker] = {}
        self.rivals: list[Actor] = []
        self.clients: list[Actor] = []
        self.dead: set[str] = set()
        # What the eye remembers.
        self.trail: list[str] = []
        self.sites: dict[str, Site] = {}
        self.highest = Counter[str]()
        self.made_by: dict[str, str] = {}
        self.on_purpose: set[str] = set()
        self.published = Counter[str]()
        self.trees: dict[str, str] = {}
        self.holders: dict[str, str] = {}
        self.locked_at = Counter[str]()
        self.superseded: list[str] = []
        self.unpurged: dict[str, str] = {}
        self.ended: dict[str, BuildState] = {}
        switches = Safeguards.parse("all")
        shared: dict[str, Any] = {"clock": self.clock, "events": self.note}
        more = shared | {"seed": self.seed, "safeguards": switches}
        log = ObjectPointerLog(self.blobs, "story", self.clock)
        self.deploys = DeployService(self.store, self.objects, **more, pointers=log)
        self.publisher = Publisher(self.store, self.purge, **shared, safeguards=switches)
        self.queue = BuildQueue(self.store, **shared, lease_s=LEASE_S)
        self.doorbell = self.clock.event()
        self.builds = BuildService(self.store, self.publisher, **more, doorbell=self.doorbell)

    # --- Time and what is noted ---

    async def hop(self) -> None:
        draw = self.seed.random
        most_s = draw.choices((0.0, 0.2, 3.0, 2 * LEASE_S), (40, 45, 12, 0 if self.quiet else 3))[0]
        if most_s:
            await self.clock.sleep(draw.uniform(0.0, most_s))

    def note(self, action: str, subject: str, **details: Any) -> None:
        if action == "deploy.superseded":
            self.superseded.append(subject)
        at = self.clock.time() - START
        self.trail.append(f"{at:8.2f} {self.clock.actor_name:12} {action} {subject} {details}")

    async def purge(self, tags: Any) -> None:
        await self.hop()
        for tag in tags:
            self.unpurged.pop(tag.removeprefix("site-"), None)
        await self.hop()

    # --- Actors ---

    def name(self, kind: str) -> str:
        self.names[kind] += 1
        return f"{kind}-{self.names[kind]}"

    def spawn_worker(self) -> None:
        name = self.name("worker")
        worker = Worker(
            name,
            self.store,
            self.queue,
            Builder(self.store, self.deploys, self.publisher, self.shelf, folder=self.folder),
            clock=self.clock,
            events=self.note,
            doorbell=self.doorbell,
            poll_s=10.0,
            beat_s=LEASE_S / 4,
        )
        self.workers[self.clock.spawn(name, worker.run_forever())] = worker

    async def kill(self, actor: Actor) -> None:
        if not actor.ended:
            self.note("killed", actor.name)
            self.dead.add(actor.name)
            await self.clock.kill(actor)
            if self.workers.pop(actor, None):
                self.spawn_worker()

    async def reaper(self) -> None:
        """Kills workers and clients in mid-step; each worker has a successor."""
        draw = self.seed.random
        while not self.quiet:
            await self.clock.sleep(draw.uniform(0.0, 20.0))
            await self.kill(draw.choice([*self.workers, *self.clients]))

    async def pusher(self, site_id: str) -> None:
        """Pushes commits, each of which is built."""
        draw = self.seed.random
        while not self.quiet:
            await self.clock.sleep(draw.uniform(0.0, 25.0))
            site = await self.plain.sites.get(site_id)
            commit = self.shelf.push(site_id)
            await self.builds.start(
                site,
                commit_ref=commit if draw.random() < 0.4 else None,
                branch="side" if draw.random() < 0.1 else None,
                urgent=draw.random() < 0.2,
            )

    async def deployer(self, site_id: str) -> None:
        """Starts clients that deploy folders."""
        while not self.quiet:
            await self.clock.sleep(self.seed.random.uniform(0.0, 30.0))
            name = self.name("client")
            self.clients.append(self.clock.spawn(name, self.client(name, site_id)))

    async def client(self, name: str, site_id: str) -> None:
        """Deploys a folder, step by step, some steps twice; somebody may call it off meanwhile."""
        draw = self.seed.random
        texts = {"index.html": name, "site.txt": site_id, "same.txt": "same everywhere"}
        by_sha1 = {sha1_of(text): text.encode() for text in texts.values()}
        files = [ManifestFile(path=path, sha1=sha1_of(text)) for path, text in texts.items()]
        context = draw.choice([Context.PRODUCTION] * 3 + [Context.PREVIEW])
        with contextlib.suppress(BlackstartError):
            deploy = await self.deploys.create(site_id, branch="main", context=context)
            for _ in range(draw.choice((1, 1, 2))):
                deploy = await self.deploys.announce(deploy.id, files)
            for sha1 in await self.deploys.missing(deploy):
                await self.deploys.upload(sha1, one_chunk(by_sha1[sha1]))
            for _ in range(draw.choice((1, 1, 2))):
                await self.deploys.finish(deploy.id)
            for _ in range(draw.choice((1, 1, 2))):
                await self.publisher.publish(deploy.id)

    async def person(self, site_id: str) -> None:
        """Restores, rolls back, locks, unlocks, cancels and builds again, at random."""
        draw = self.seed.random
        while not self.quiet:
            await self.clock.sleep(draw.uniform(0.0, 20.0))
            with contextlib.suppress(BlackstartError):
                await self.one_act(site_id)

    async def one_act(self, site_id: str) -> None:
        draw = self.seed.random
        site = await self.plain.sites.get(site_id)
        deploys = await self.plain.deploys.of_site(site_id)
        builds = await self.builds_of(site_id)
        if not deploys or not builds or site.published_deploy_id is None:
            return
        deploy, build = draw.choice(deploys), draw.choice(builds)
        recent = draw.choice(builds[:3])
        act = draw.choice(["restore", "roll_back", *["lock", "unlock", "cancel"] * 3, "rerun"])
        match act:
            case "restore":
                await self.purposely(self.publisher.revert(site_id, deploy.id))
            case "roll_back":
                await self.purposely(self.publisher.roll_back(site_id))
            case "lock":
                await self.publisher.lock(site.published_deploy_id)
            case "unlock":
                await self.publisher.unlock(deploy.id)
            case "cancel" if draw.random() < 0.7:
                await self.hop()
                await self.builds.cancel(recent)
            case "cancel":
                await self.deploys.cancel(draw.choice(deploys[:3]).id)
            case "rerun":
                await self.builds.rerun(build)

    async def rival(self, call: str, subject: Any, worker: str) -> None:
        """Acts on what another one is working at right now, or kills that one."""
        with contextlib.suppress(BlackstartError):
            if call == "sites.get":
                shown = (await self.plain.sites.get(subject)).published_deploy_id
                await self.publisher.lock(shown or "")
                await self.clock.sleep(self.seed.random.uniform(0.0, 10.0))
                await self.publisher.unlock(shown or "")
            elif call == "builds.set_deploy":
                await self.builds.cancel(subject)
            elif self.seed.random.random() < 0.3:
                await self.deploys.cancel(subject)
            else:
                for actor in [each for each in self.workers if each.name == worker]:
                    await self.kill(actor)

    async def purposely(self, act: Coroutine[Any, Any, Any]) -> None:
        me = self.clock.actor_name
        self.on_purpose.add(me)
        try:
            await act
        finally:
            self.on_purpose.discard(me)

    # --- The eye ---

    async def happened(self, call: str, arguments: tuple[Any, ...], result: Any) -> None:
        """Look at all that the call may have changed, in the moment it did."""
        if call == "deploys.insert":
            self.made_by[arguments[0].id] = self.clock.actor_name
        if not call.startswith("objects."):
            shown = [getattr(argument, "id", argument) for argument in arguments]
            self.note(call, "", arguments=shown, result=result if result in (True, False) else "")
        if call in CHANGES_WHAT_IS_SHOWN:
            for site in await self.plain.sites.all():
                await self.look_at_site(self.sites.get(site.id), site)
                self.sites[site.id] = site
        elif call in CHANGES_A_BUILD:
            await self.look_at_builds()
        while self.superseded:
            await self.look_at_superseded(self.superseded.pop())
        if call in INVITES_A_RIVAL and not self.quiet and self.seed.random.random() < 0.15:
            story = self.rival(call, arguments[0], self.clock.actor_name)
            self.rivals.append(self.clock.spawn(self.name("rival"), story))
        if call == "builds.claim" and result is not None:
            self.holders[arguments[0].id] = self.clock.actor_name
        elif call in FOR_ITS_HOLDER and result is True:
            me = self.clock.actor_name.removesuffix("-heartbeat")
            assert self.holders[arguments[0].id] == me, "who lost a build cannot touch it"

    async def look_at_site(self, before: Site | None, site: Site) -> None:
        if site.locked or (before is not None and before.locked):
            self.locked_at[site.id] = int(self.clock.time()) + 1
        if before is not None and before.published_deploy_id != site.published_deploy_id:
            assert not before.locked, "a locked site's deploy never changes"
            await self.look_at_publish(site)
        if site.published_deploy_id is not None:
            assert site.newest_published == self.highest[site.id], "the mark is the highest shown"
            deploy = await self.readable(site, site.published_deploy_id)
            assert self.trees.setdefault(deploy.id, deploy.metadata.tree or "") == (
                deploy.metadata.tree
            ), "what is shown never changes its files"

    async def look_at_publish(self, site: Site) -> None:
        deploy = await self.readable(site, site.published_deploy_id)
        self.note("SHOWS", deploy.id, number=deploy.number, highest=self.highest[site.id])
        if self.clock.actor_name not in self.on_purpose:
            assert deploy.number > self.highest[site.id], "publishing by itself only goes up"
            if deploy.build_id is not None:
                self.published[deploy.build_id] += 1
                assert self.published[deploy.build_id] == 1, "a build publishes once at most"
        self.highest[site.id] = max(self.highest[site.id], deploy.number)
        self.unpurged[site.id] = self.clock.actor_name

    async def readable(self, site: Site, deploy_id: str | None) -> Deploy:
        """The deploy, which every visitor of the site can read to its last byte."""
        deploy = await self.plain.deploys.get(deploy_id or "")
        assert isinstance(deploy, Deploy), deploy
        assert deploy.site_id == site.id, "a site shows its own deploys"
        assert deploy.context is Context.PRODUCTION, "only production deploys are shown"
        assert deploy.state in (DeployState.PROCESSING, DeployState.READY), deploy.state
        assert deploy.metadata.completed_at is not None, "what is shown is completed"
        if deploy.id not in self.trees:
            await self.look_at_tree(deploy)
        return deploy

    async def look_at_tree(self, deploy: Deploy) -> None:
        tree = await self.blobs.get_tree(deploy.metadata.tree or "")
        manifest = await self.plain.deploys.manifest(deploy.id)
        assert {path: entry.sha1 for path, entry in tree.files.items()} == {
            file.path: file.sha1 for file in manifest.files
        }, "a deploy has its own files"
        for path, entry in tree.files.items():
            data = await self.blobs.get_blob(entry.sha1)
            assert sha1_of(data.decode()) == entry.sha1
            assert path != "site.txt" or data.decode() == deploy.site_id

    async def look_at_builds(self) -> None:
        running = Counter[str]()
        for build in await self.all_builds():
            running[build.site_id] += build.state is BuildState.RUNNING
            if build.state.ended and build.state is not BuildState.STUCK:
                assert self.ended.setdefault(build.id, build.state) is build.state
            else:
                assert build.id not in self.ended, "what has ended does not start again"
        assert max(running.values(), default=0) <= 1, "a site has one running build"

    async def all_builds(self) -> list[Build]:
        return [build for site in self.sites for build in await self.builds_of(site)]

    async def builds_of(self, site_id: str) -> list[Build]:
        return cast(list[Build], await self.plain.builds.of_site(site_id))

    async def look_back(self) -> None:
        """At rest: all has ended well, or its maker died."""
        for build in await self.all_builds():
            assert build.state.ended, f"build {build.id} is {build.state}"
            made = await self.plain.deploys.find(build.deploy_id or "")
            if isinstance(made, Deploy):
                assert made.state in OVER, f"deploy {made.id} of build {build.id} is {made.state}"
            assert build.state is not BuildState.DONE or (
                isinstance(made, Deploy) and made.state is DeployState.READY
            )
        for site in self.sites:
            deploys = await self.plain.deploys.of_site(site)
            for deploy in deploys:
                assert isinstance(deploy, Deploy)
                dead = self.made_by[deploy.id] in self.dead
                assert deploy.state in OVER or dead, f"deploy {deploy.id} is {deploy.state}"
                if deploy.state is DeployState.READY:
                    await self.look_at_tree(deploy)
        left = {site: actor for site, actor in self.unpurged.items() if actor not in self.dead}
        assert not left, "the nodes were told"
        assert not [actor for actor in self.unpurged.values() if actor.startswith("worker")]

    async def look_at_superseded(self, deploy_id: str) -> None:
        """Who is told to come too late does: a newer deploy was shown, or is ready."""
        deploy = await self.plain.deploys.get(deploy_id)
        assert isinstance(deploy, Deploy) and deploy.metadata.completed_at is not None
        newer = {"number": {"$gt": deploy.number}, "state": DeployState.READY}
        newer["context"] = Context.PRODUCTION
        assert (
            deploy.number <= self.highest[deploy.site_id]
            or self.locked_at[deploy.site_id] >= deploy.metadata.completed_at.timestamp()
            or await self.plain.deploys.of_site(deploy.site_id, where=newer)
        ), f"deploy {deploy_id} was forgotten"

    # --- The story ---

    async def live(self) -> None:
        draw = self.seed.random
        for number in range(draw.choice((1, 1, 2))):
            site = Site(
                id=self.seed.new_id(),
                name=f"site{number}",
                plan=draw.choice(list(Plan)),
                repo=None,
                created_at=self.clock.now(),
            )
            site = site.model_copy(update={"repo": Repo(url=site.id, branch="main")})
            await self.plain.sites.insert(site)
            self.sites[site.id] = site
        for _ in range(3):
            self.spawn_worker()
        busy = [self.clock.spawn("reaper", self.reaper())]
        for site_id in self.sites:
            for kind in (self.pusher, self.deployer, self.person, self.person):
                busy.append(self.clock.spawn(self.name(kind.__name__), kind(site_id)))
        await self.clock.run_until(START + CHAOS_S)
        await self.come_to_rest(busy)
        await self.look_back()

    async def come_to_rest(self, busy: list[Actor]) -> None:
        """Nobody starts anything any more; the workers have all the time they need."""
        self.quiet = True
        while not all(actor.ended for actor in (*busy, *self.clients, *self.rivals)) or not all(
            build.state.ended for build in await self.all_builds()
        ):
            assert self.clock.time() < START + PATIENCE_S, "all comes to rest"
            await self.clock.run_until(self.clock.time() + LEASE_S)
        for worker in self.workers.values():
            worker.stop()
        await self.clock.run_until(self.clock.time() + 10 * LEASE_S)
        assert all(worker.ended for worker in self.workers), "workers end when asked to"


def sha1_of(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    "seed", [*SEEDS, *(pytest.param(seed, marks=pytest.mark.slow) for seed in SWEEP)]
)
async def test_what_visitors_see_holds_in_every_interleaving(
    store: MetadataStore, tmp_path: Path, seed: int
) -> None:
    world = World(seed, store, tmp_path)
    try:
        await world.live()
    except Exception as error:
        error.add_note("\n".join(["how it came to that:", *world.trail[-TRAIL:]]))
        error.add_note(f"repeat with seed {seed}")
        raise
    finally:
        await world.clock.close()
