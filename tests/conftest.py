"""What the tests share: a database, a clock, git repositories, and the services wired together."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from hypothesis import settings
from tests.collection import (  # noqa: F401 - pytest finds its hooks here
    pytest_collection,
    pytest_sessionfinish,
)
from tests.distribution import (  # noqa: F401
    pytest_collection_modifyitems,
    pytest_xdist_make_scheduler,
)
from tests.sockets import close_when_cancelled

from blackstart.builder.build import Builder
from blackstart.builder.command import Limits
from blackstart.builder.git import Git, Source
from blackstart.builder.worker import Worker
from blackstart.clock import Clock, Event, WallEvent
from blackstart.control.app import control_app
from blackstart.control.builds import BuildService
from blackstart.control.deploys import DeployService
from blackstart.control.desk import Desk, open_desk
from blackstart.control.publish import Publisher
from blackstart.control.queue import BuildQueue
from blackstart.model import (
    Build,
    Deploy,
    InvalidDeploy,
    ManifestFile,
    Plan,
    Repo,
    Scope,
    Site,
)
from blackstart.origin import Origin
from blackstart.repositories import RepositoryPolicy
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore, embedded_mongodb
from blackstart.store.metadata import connect
from blackstart.store.objects import one_chunk
from blackstart.store.pointers import ObjectPointerLog

# A busy machine is no failure.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

START_S = 1_486_000_000.0
PATIENCE_S = 30.0
LEASE_S = 60.0
AUTHOR = {
    "GIT_AUTHOR_NAME": "Site owner",
    "GIT_AUTHOR_EMAIL": "owner@example.org",
    "GIT_AUTHOR_DATE": "1486000000 +0000",
    "GIT_COMMITTER_NAME": "Site owner",
    "GIT_COMMITTER_EMAIL": "owner@example.org",
    "GIT_COMMITTER_DATE": "1486000000 +0000",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
ANYWHERE = RepositoryPolicy([Path("/")])
"""Takes every local repository."""
LOST = {"migrated": True}
"""What a deploy's metadata is after the bad migration."""

_database_numbers = itertools.count(1)


class ManualClock(Clock):
    """Moves by `sleep` and `advance` only."""

    def __init__(self) -> None:
        self.now_s = START_S

    def time(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    @asynccontextmanager
    async def beside(self, name: str, story: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """Nothing runs beside: this clock would rush ahead."""
        story.close()
        yield

    def spawn(self, name: str, story: Coroutine[Any, Any, None]) -> Any:
        raise AssertionError("this clock would rush ahead of what is spawned")

    async def kill(self, spawned: Any) -> None:
        raise AssertionError("nothing was spawned")

    def event(self) -> Event:
        return WallEvent()

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


class Recorder:
    """Events, kept: what happened, to what, and with which details."""

    def __init__(self) -> None:
        self.happened: list[tuple[str, str, dict[str, Any]]] = []
        self._changed = asyncio.Event()

    def __call__(self, action: str, subject: str, **details: Any) -> None:
        self.happened.append((action, subject, details))
        self._changed.set()

    def subjects(self, action: str) -> list[str]:
        """What an action happened to, in order."""
        return [subject for name, subject, _ in self.happened if name == action]

    async def wait_for(self, action: str) -> None:
        """Until it happened; fails the test when that takes absurdly long."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.subjects(action):
                self._changed.clear()
                await self._changed.wait()


class Purges:
    """`Purge` that notes which tags it was given."""

    def __init__(self) -> None:
        self.tags: list[str] = []

    async def __call__(self, tags: Sequence[str]) -> None:
        self.tags += tags


class Repository:
    """A git repository with a work tree, made with the git command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    @property
    def url(self) -> str:
        return str(self.folder)

    @property
    def repo(self) -> Repo:
        return Repo(url=self.url, branch="main")

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        """What git printed."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            check=True,
            env=kept | AUTHOR,
        )
        return done.stdout.decode().strip()

    def commit(self, files: Mapping[str, bytes]) -> str:
        """Add files, commit all that is staged, and return the commit's id."""
        for path, data in files.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message=work")
        return self.git("rev-parse", "HEAD")


@dataclass
class Bench:
    """The platform's services, wired together in this process, all safeguards off at first.

    They share `safeguards`, so a test switches one on with `bench.safeguards.enable`.
    """

    store: MetadataStore
    objects: ObjectStore
    clock: ManualClock
    seed: Seed
    safeguards: Safeguards
    events: Recorder
    purges: Purges
    doorbell: Event
    desk: Desk
    cache: Path

    @property
    def deploys(self) -> DeployService:
        return self.desk.deploys

    @property
    def publisher(self) -> Publisher:
        return self.desk.publisher

    @property
    def builds(self) -> BuildService:
        return self.desk.builds

    async def site(
        self,
        name: str = "docs",
        *,
        plan: Plan = Plan.PRO,
        repo: Repo | None = None,
        locked: bool = False,
    ) -> Site:
        """A new site."""
        site = Site(
            id=self.seed.new_id(),
            name=name,
            plan=plan,
            repo=repo,
            locked=locked,
            created_at=self.clock.now(),
        )
        await self.store.sites.insert(site)
        return site

    async def announce(self, site: Site, files: Mapping[str, bytes]) -> Deploy:
        """A deploy whose files are still to come."""
        return await self.deploys.create(site.id, manifest_of(files), branch="main")

    async def processing(self, site: Site, files: Mapping[str, bytes]) -> Deploy:
        """A deploy that has its files and its pointer, but is not published."""
        deploy = await self.announce(site, files)
        for sha1 in deploy.metadata.pending_uploads:
            data = next(data for data in files.values() if sha1_of(data) == sha1)
            await self.deploys.upload(sha1, one_chunk(data))
        return await self.deploys.finish(deploy.id)

    async def release(self, site: Site, files: Mapping[str, bytes]) -> Deploy:
        """A deploy taken all the way to the publish check; a second passes."""
        self.clock.advance(1.0)
        deploy = await self.processing(site, files)
        await self.publisher.publish(deploy.id)
        return await self.deploy(deploy.id)

    async def deploy(self, deploy_id: str) -> Deploy:
        """A deploy as it is now, which must be valid."""
        found = await self.store.deploys.get(deploy_id)
        assert isinstance(found, Deploy), found
        return found

    async def build(self, build: Build) -> Build:
        """A build as it is now."""
        return await self.store.builds.get(build.id)

    async def invalid(self, deploy_id: str) -> InvalidDeploy:
        """A deploy as it is now, which must not be valid."""
        found = await self.store.deploys.get(deploy_id)
        assert isinstance(found, InvalidDeploy), found
        return found

    async def destroy(self, deploy_id: str, metadata: Any = LOST) -> InvalidDeploy:
        """Overwrite a deploy's metadata, as the bad migration did."""
        await self.store.database["deploys"].update_one(
            {"_id": deploy_id}, {"$set": {"metadata": dict(LOST) if metadata is LOST else metadata}}
        )
        return await self.invalid(deploy_id)

    async def published_id(self, site: Site) -> str | None:
        """The deploy that a site shows now."""
        return (await self.store.sites.get(site.id)).published_deploy_id

    def outlive_the_lease(self) -> None:
        """Whoever claimed a build before this has lost it now."""
        self.clock.advance(LEASE_S + 1)

    def queue(self) -> BuildQueue:
        return BuildQueue(self.store, clock=self.clock, events=self.events, lease_s=LEASE_S)

    def origin(self) -> Origin:
        return Origin(self.store, self.objects, safeguards=self.safeguards)

    def control(self, *, api: str = "", pages: str = "") -> FastAPI:
        """The control plane; its two views have safeguards of their own, by name."""
        return control_app(
            self.desk,
            api_safeguards=Safeguards.parse(api),
            pages_safeguards=Safeguards.parse(pages),
        )

    async def bearer(self, *scopes: Scope) -> dict[str, str]:
        """The header of a request with a new token; it may do everything unless told otherwise."""
        _, secret = await self.desk.tokens.create("test", list(scopes or Scope))
        return {"Authorization": f"Bearer {secret}"}

    def worker(
        self,
        name: str = "w1",
        *,
        source: Source | None = None,
        deploys: DeployService | None = None,
        commands: Limits | None = None,
    ) -> Worker:
        builder = Builder(
            self.store,
            deploys or self.deploys,
            self.publisher,
            source or Git(self.cache, ANYWHERE),
            commands=commands,
        )
        return Worker(
            name,
            self.store,
            self.queue(),
            builder,
            clock=self.clock,
            events=self.events,
            doorbell=self.doorbell,
            poll_s=None,
            beat_s=LEASE_S / 3,
        )

    def deploy_service(self, objects: ObjectStore) -> DeployService:
        """A deploy service over another object store."""
        return DeployService(
            self.store,
            objects,
            clock=self.clock,
            seed=self.seed,
            safeguards=self.safeguards,
            events=self.events,
            pointers=ObjectPointerLog(objects, "control", self.clock),
        )


def sha1_of(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def manifest_of(files: Mapping[str, bytes]) -> list[ManifestFile]:
    return [
        ManifestFile(path=path, sha1=sha1_of(data), size=len(data)) for path, data in files.items()
    ]


@pytest.fixture(scope="session", autouse=True)
def _no_forgotten_sockets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        close_when_cancelled(patch)
        yield


@pytest.fixture(scope="session")
def mongodb_uri() -> Iterator[str]:
    """One embedded MongoDB for all tests, on a loop of its own: each test has another loop."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        server = embedded_mongodb()
        uri = runner.run(_entered(server))
        # Without streaming the driver opens no second monitoring connection in the background,
        # which it would leak when a short test closes its client right then.
        yield f"{uri}&serverMonitoringMode=poll"
        runner.run(_left(server))


async def _entered(server: Any) -> str:
    return str(await server.__aenter__())


async def _left(server: Any) -> None:
    await server.__aexit__(None, None, None)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for loopback that only a test trusts."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", f"{path}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture
async def store(mongodb_uri: str) -> AsyncIterator[MetadataStore]:
    """A database that nobody else uses, dropped afterwards."""
    async with connect(mongodb_uri, f"test-{next(_database_numbers)}") as store:
        await store.create_indexes()
        yield store
        await store.database.client.drop_database(store.database.name)


@pytest.fixture
def objects() -> ObjectStore:
    return ObjectStore.open("memory://")


@pytest.fixture
def manual_clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def make_repository(tmp_path: Path) -> Callable[[str], Repository]:
    """Makes repositories below the test's folder."""
    return lambda name: Repository(tmp_path / "repositories" / name)


@pytest.fixture
def repository(make_repository: Callable[[str], Repository]) -> Repository:
    return make_repository("docs")


@pytest.fixture
async def bench(
    store: MetadataStore, objects: ObjectStore, manual_clock: ManualClock, tmp_path: Path
) -> Bench:
    seed, safeguards, events, purges = Seed(2), Safeguards(), Recorder(), Purges()
    doorbell = manual_clock.event()
    desk = open_desk(
        store,
        objects,
        purges,
        clock=manual_clock,
        seed=seed,
        safeguards=safeguards,
        events=events,
        policy=RepositoryPolicy([tmp_path]),
        doorbell=doorbell,
        pointers=ObjectPointerLog(objects, "control", manual_clock),
    )
    return Bench(
        store=store,
        objects=objects,
        clock=manual_clock,
        seed=seed,
        safeguards=safeguards,
        events=events,
        purges=purges,
        doorbell=doorbell,
        desk=desk,
        cache=tmp_path / "git-cache",
    )


Client = Callable[..., httpx2.AsyncClient]


@pytest.fixture
async def client_of() -> AsyncIterator[Client]:
    """Makes HTTP clients that call an ASGI application in this process."""
    opened: list[httpx2.AsyncClient] = []

    def make(app: Any, base_url: str = "http://docs.localhost") -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=app, raise_app_exceptions=True)
        opened.append(httpx2.AsyncClient(transport=transport, base_url=base_url))
        return opened[-1]

    yield make
    for client in opened:
        await client.aclose()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Any]:
    """Waits for what another process does and cannot announce."""

    async def wait(happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not happened():  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.01)

    return wait
