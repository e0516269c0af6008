"""`blackstart up`: the whole platform as processes on this machine."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from blackstart.cli.serve import HEALTH_PATHS, Role

if TYPE_CHECKING:
    import httpx2

    from blackstart.process import ChildProcess
    from blackstart.settings import Settings

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0
EARLIER_RUN_TIMEOUT_S = 20.0
ROLE_GRACE_S = 10.0
POLL_S = 0.05
LOG_LINES = 10


@dataclass(frozen=True)
class Plan:
    """What was asked for; `port` 0 means that every server takes a free one."""

    data: Path | None
    nodes: int
    workers: int
    port: int
    as_json: bool


def up(
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep database, files, caches and logs here. Without it all is gone at the end.",
            show_default=False,
        ),
    ] = None,
    nodes: Annotated[int, typer.Option(metavar="N", min=1, max=64, help="How many CDN nodes.")] = 2,
    workers: Annotated[
        int, typer.Option(metavar="N", min=0, max=64, help="How many build workers.")
    ] = 1,
    port: Annotated[
        int,
        typer.Option(
            metavar="P",
            min=0,
            max=65_000,
            help="Control API here, the nodes on the ports after it; 0 takes free ones.",
        ),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the addresses as one JSON line, for scripts.")
    ] = False,
) -> None:
    """Run the platform on this machine: database, origin, control API, nodes, workers.

    Ctrl-C ends it all. BLACKSTART_MONGODB_URI names a MongoDB to use instead of the embedded one.
    """
    from blackstart import service
    from blackstart.settings import Settings, load

    settings = load(Settings)
    settings.switches()
    service.run(_up(Plan(data, nodes, workers, port, as_json), settings))


async def _up(plan: Plan, settings: Settings) -> None:
    async with AsyncExitStack() as stack:
        folder = await _folder(plan, stack)
        platform = Platform(plan, settings, folder, stack)
        await platform.start()
        platform.announce()
        await platform.watch()


# --- The folder that everything is kept in ---


async def _folder(plan: Plan, stack: AsyncExitStack) -> Path:
    """The data folder, ours alone; or a temporary one that is gone afterwards.

    Raises: StorageError when it cannot be made; ConflictError when it is in use.
    """
    from blackstart.process import temporary_folder

    if plan.data is None:
        folder = temporary_folder("up")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
    else:
        folder = plan.data.absolute()
        stack.enter_context(_claimed(folder))
        await _wait_for_earlier_run(folder)
        shutil.rmtree(folder / "tmp", ignore_errors=True)
    for name in ("logs", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    return folder


def _claimed(folder: Path) -> TextIO:
    """The folder's lock file, locked: the kernel lets go when it is closed or we are killed."""
    from blackstart.errors import ConflictError, StorageError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "a+", encoding="ascii")  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        raise StorageError(f"cannot use the data folder {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip()
        lock.close()
        raise ConflictError(
            f"{folder} is in use by another `blackstart up` (process {holder})",
            hint="end that one first, or choose another --data",
        ) from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


async def _wait_for_earlier_run(folder: Path) -> None:
    """An `up` that was killed leaves its roles a few seconds to end; they hold a lock meanwhile."""
    from blackstart.cli.console import doing
    from blackstart.errors import ConflictError

    if _roles_ended(folder):
        return
    with doing("waiting for an earlier run to end"):
        for _ in range(int(EARLIER_RUN_TIMEOUT_S / POLL_S)):
            await asyncio.sleep(POLL_S)
            if _roles_ended(folder):
                return
    raise ConflictError(f"processes of an earlier run still use {folder}", hint="end them first")


def _roles_ended(folder: Path) -> bool:
    with open(folder / "roles.lock", "a", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


# --- The roles ---


class RoleLog:
    """What a process wrote since it was started; it can be read even after the file is gone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._file = open(path, encoding="utf-8", errors="replace")  # noqa: SIM115
        self._start = self._file.seek(0, os.SEEK_END)

    def lines(self) -> list[str]:
        self._file.seek(self._start)
        return self._file.read().splitlines()


@dataclass
class Server:
    """One role as a running process."""

    name: str
    child: ChildProcess
    log: RoleLog
    url: str = ""

    def raise_if_ended(self, *, starting: bool) -> None:
        """Raises: ProcessError with what it said last."""
        from blackstart.errors import ProcessError

        code = self.child.exit_code
        if code is None:
            return
        lines = [line for line in self.log.lines() if line.strip()]
        said = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        if starting and said:
            raise ProcessError(f"{self.name} did not start: {said[-1]}")
        _print_log_end(self.name, lines)
        how = f"was killed by signal {256 - code}" if code > 192 else f"ended with exit code {code}"
        raise ProcessError(f"{self.name} {how}, so everything was ended")


@dataclass
class Platform:
    """All processes of one `up`; they end in the reverse of the order they were started in."""

    plan: Plan
    settings: Settings
    folder: Path
    stack: AsyncExitStack
    servers: dict[str, Server] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    embedded: bool = False

    async def start(self) -> None:
        """Raises: DatabaseError, UsageError, ProcessError."""
        self.environment = await self._shared_environment()
        plan = self.plan
        await self._start({"origin": (Role.ORIGIN, {})})
        await self._start(
            {
                f"node-{number}": (Role.NODE, self._node_environment(number))
                for number in range(1, plan.nodes + 1)
            }
        )
        self.environment["BLACKSTART_NODE_URLS"] = ",".join(self.urls(Role.NODE))
        rest = {f"worker-{number}": Role.WORKER for number in range(1, plan.workers + 1)}
        rest["control"] = Role.CONTROL
        await self._start({name: (role, {}) for name, role in rest.items()})

    def urls(self, role: Role) -> list[str]:
        """The addresses of all servers of a role."""
        return [
            server.url for name, server in self.servers.items() if name.partition("-")[0] == role
        ]

    def announce(self) -> None:
        """Print where everything is."""
        if self.plan.as_json:
            addresses = {
                "control": self.servers["control"].url,
                "origin": self.servers["origin"].url,
                "nodes": self.urls(Role.NODE),
                "workers": self.urls(Role.WORKER),
                "mongodb_uri": self.environment["BLACKSTART_MONGODB_URI"],
                "object_store": self.environment["BLACKSTART_OBJECT_STORE"],
                "domain": self.settings.domain,
                "folder": str(self.folder),
            }
            print(json.dumps(addresses), flush=True)
        else:
            self._print_addresses()

    async def watch(self) -> None:
        """Wait until a process ends by itself. Raises: ProcessError."""
        database = asyncio.ensure_future(self._watch_database())
        try:
            while True:
                for server in self.servers.values():
                    server.raise_if_ended(starting=False)
                if database.done():
                    database.result()
                await asyncio.sleep(POLL_S * 4)
        finally:
            database.cancel()

    async def _shared_environment(self) -> dict[str, str]:
        from blackstart.errors import UsageError

        settings = self.settings
        uri = await self._database()
        objects = settings.object_store
        if settings.mongodb_uri and self.plan.data is None and not objects:
            raise UsageError(
                "BLACKSTART_MONGODB_URI keeps the documents, so the files must be kept as well",
                hint="give --data DIR or set BLACKSTART_OBJECT_STORE",
            )
        from secrets import token_urlsafe

        return {
            # One person on loopback may build from any folder that they can read.
            "BLACKSTART_REPO_FOLDERS": "/",
            **os.environ,
            "BLACKSTART_MONGODB_URI": uri,
            "BLACKSTART_OBJECT_STORE": objects or str(self.folder / "objects"),
            "BLACKSTART_GIT_CACHE": str(self.folder / "git"),
            "BLACKSTART_PURGE_TOKEN": settings.purge_token.get_secret_value() or token_urlsafe(),
            "TMPDIR": str(self.folder / "tmp"),
            "NO_PROXY": ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST])),
        }

    def _node_environment(self, number: int) -> dict[str, str]:
        return {
            "BLACKSTART_ORIGIN_URL": self.servers["origin"].url,
            "BLACKSTART_NODE_NAME": f"node-{number}",
            "BLACKSTART_CACHE_DIR": str(self.folder / "cache" / f"node-{number}"),
        }

    async def _database(self) -> str:
        """Raises: DatabaseError when the one that was named does not answer; ProcessError."""
        from blackstart.cli.console import doing
        from blackstart.store.metadata import connect

        named = self.settings.mongodb_uri
        if named:
            with doing("looking for MongoDB"):
                async with connect(named, self.settings.database):
                    return named
        self.embedded = True
        keep = None if self.plan.data is None else self.folder / "mongodb"
        with doing("starting the database"):
            return await self.stack.enter_async_context(_patient(keep))

    async def _start(self, wanted: Mapping[str, tuple[Role, Mapping[str, str]]]) -> None:
        """Start servers side by side and wait until each answers."""
        from blackstart.cli.console import doing

        group: list[ChildProcess] = []
        self.stack.push_async_callback(_stop, group)
        with doing(f"starting {', '.join(wanted)}"):
            for name, (role, environment) in wanted.items():
                self.servers[name] = self._launch(name, role, environment)
                group.append(self.servers[name].child)
            for name, (role, _) in wanted.items():
                await _until_ready(self.servers[name], role)

    def _launch(self, name: str, role: Role, environment: Mapping[str, str]) -> Server:
        from blackstart.process import ChildProcess

        command = [sys.executable, "-P", "-m", "blackstart.cli", "serve", role]
        command += ["--listen", f"{HOST}:{self._port(name)}"]
        if self.plan.data is not None:
            command += ["--hold", str(self.folder / "roles.lock")]
        log = RoleLog(self.folder / "logs" / f"{name}.log")
        child = ChildProcess.start(
            name,
            command,
            log=log.path,
            env={**self.environment, **environment},
            remove=[self.folder] if self.plan.data is None else [],
            grace_s=ROLE_GRACE_S,
        )
        return Server(name, child, log)

    def _port(self, name: str) -> int:
        role, _, number = name.partition("-")
        if self.plan.port == 0 or role not in (Role.CONTROL, Role.NODE):
            return 0
        return self.plan.port + int(number or 0)

    async def _watch_database(self) -> None:
        """Hold a connection to the embedded database open: it closes when the database ends."""
        from blackstart.errors import ProcessError

        if not self.embedded:
            return
        port = int(self.environment["BLACKSTART_MONGODB_URI"].split(":")[2].partition("/")[0])
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, port)
                try:
                    await reader.read(1)
                finally:
                    writer.close()
            except OSError:
                break
            await asyncio.sleep(POLL_S)
        log = self.folder / "mongodb" / "mongodb.log"
        if log.exists():
            _print_log_end("the database", log.read_text(errors="replace").splitlines())
        raise ProcessError("the embedded MongoDB ended, so everything was ended")

    def _print_addresses(self) -> None:
        from rich import box
        from rich.table import Table

        from blackstart.cli.console import out

        control = self.servers["control"].url
        node = self.urls(Role.NODE)[0]
        host = f"mine.{self.settings.domain}"
        notes = {
            Role.CONTROL: "API under /api/v1, web pages",
            Role.ORIGIN: "what the nodes ask",
            Role.NODE: "what visitors ask",
            Role.WORKER: "builds; answers health checks only",
        }
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 3, 0, 0))
        table.add_column("Process", style="bold", no_wrap=True)
        table.add_column("Address", no_wrap=True)
        table.add_column("")
        for name in sorted(self.servers, key=lambda name: (not name.startswith("c"), name)):
            note = notes[Role(name.partition("-")[0])]
            table.add_row(name, self.servers[name].url, f"[dim]{note}[/]")
        if self.embedded:
            address = self.environment["BLACKSTART_MONGODB_URI"].partition("?")[0].rstrip("/")
            table.add_row("mongodb", address, "[dim]embedded[/]")
        out.print()
        out.print(table)
        out.print("\nMake a site from a repository, build it, fetch its page through a node")
        out.print("when the build is done (the site's web page shows its builds):\n")
        for line in (
            """curl --json '{"name": "mine", "repo_url": "/path/to/repository"}' \\""",
            f"  {control}/api/v1/sites",
            f"curl -X POST {control}/api/v1/sites/mine/builds",
            f"curl -H 'Host: {host}' {node}/",
        ):
            out.print(f"  {line}", markup=False, soft_wrap=True, style="cyan")
        end = "" if self.plan.data else ", removed at the end"
        out.print(f"\nData and logs: {self.folder}{end}", markup=False, soft_wrap=True)
        out.print("Ctrl-C ends it all.")


@asynccontextmanager
async def _patient(keep: Path | None) -> AsyncIterator[str]:
    """The embedded MongoDB, when the one of a run that was killed has let go of its data."""
    from blackstart.errors import ProcessError
    from blackstart.store import embedded_mongodb

    tries = int(EARLIER_RUN_TIMEOUT_S) if keep is not None else 1
    for left in reversed(range(tries)):
        mongodb = embedded_mongodb(keep)
        try:
            uri = await mongodb.__aenter__()
        except ProcessError as error:
            if "resource busy" not in error.message or left == 0:
                raise
            await asyncio.sleep(1)
            continue
        try:
            yield uri
        finally:
            await mongodb.__aexit__(None, None, None)
        return


async def _stop(group: list[ChildProcess]) -> None:
    await asyncio.gather(*(child.stop() for child in group))


async def _until_ready(server: Server, role: Role) -> None:
    """Wait for the line with its address, then until it answers over HTTP. Raises: ProcessError."""
    import httpx2

    from blackstart.errors import ProcessError

    said = f"{role} listening on "
    async with httpx2.AsyncClient(trust_env=False, timeout=2.0) as client:
        for _ in range(int(START_TIMEOUT_S / POLL_S)):
            server.raise_if_ended(starting=True)
            for line in server.log.lines():
                if line.startswith(said):
                    server.url = line.removeprefix(said).strip()
            if server.url and await _answers(client, server.url + HEALTH_PATHS[role]):
                return
            await asyncio.sleep(POLL_S)
    _print_log_end(server.name, server.log.lines())
    raise ProcessError(f"{server.name} did not answer within {START_TIMEOUT_S:.0f} seconds")


async def _answers(client: httpx2.AsyncClient, url: str) -> bool:
    import httpx2

    try:
        return (await client.get(url)).status_code == 200
    except httpx2.HTTPError:
        return False


def _print_log_end(name: str, lines: list[str]) -> None:
    print(f"The end of the log of {name}:", file=sys.stderr)
    for line in lines[-LOG_LINES:] or ["(empty)"]:
        print(f"    {line}", file=sys.stderr)
