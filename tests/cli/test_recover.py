"""`blackstart recover`: found, planned, applied, taken back and verified, on the stores."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import LOST, ManualClock, Purges, Recorder, Repository, manifest_of, sha1_of

from blackstart.control.desk import Desk, open_desk
from blackstart.model import Plan, Repo, Site
from blackstart.recovery.snapshots import Snapshots
from blackstart.repositories import RepositoryPolicy
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.metadata import connect
from blackstart.store.objects import one_chunk

Call = Callable[..., Any]
DATABASE = "test-cli-recover"
PAGE = {"index.html": b"home"}


@dataclass
class Fleet:
    """A small platform in a database and a folder, made by its own services."""

    uri: str
    folder: Path

    def run(self, story: Callable[[Desk], Coroutine[Any, Any, Any]]) -> Any:
        async def told() -> Any:
            async with connect(self.uri, DATABASE) as store:
                return await story(self._desk(store))

        return asyncio.run(told())

    def _desk(self, store: MetadataStore) -> Desk:
        return open_desk(
            store,
            ObjectStore.open(str(self.folder)),
            Purges(),
            clock=ManualClock(),
            seed=Seed.from_entropy(),
            safeguards=Safeguards(["tolerant-publish"]),
            events=Recorder(),
            policy=RepositoryPolicy([Path("/")]),
        )


async def new_site(desk: Desk, name: str, plan: Plan, repo: Repo | None = None) -> Site:
    site = Site(id=desk.seed.new_id(), name=name, plan=plan, repo=repo, created_at=desk.clock.now())
    await desk.store.sites.insert(site)
    return site


async def release(desk: Desk, site: Site, **options: Any) -> str:
    deploy = await desk.deploys.create(site.id, manifest_of(PAGE), branch="main", **options)
    for data in PAGE.values():
        await desk.deploys.upload(sha1_of(data), one_chunk(data))
    await desk.deploys.finish(deploy.id)
    await desk.publisher.publish(deploy.id)
    return deploy.id


async def snapshot(desk: Desk) -> None:
    await Snapshots(desk.objects).take(desk.store.database, desk.clock, desk.seed)


async def destroy(desk: Desk) -> None:
    await desk.store.database["deploys"].update_many({}, {"$set": {"metadata": dict(LOST)}})


async def documents(desk: Desk) -> list[Any]:
    return [raw async for raw in desk.store.deploys.scan_raw()]


@pytest.fixture
def fleet(mongodb_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The database and the bucket that the command line is pointed at, dropped afterwards."""
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLACKSTART_MONGODB_URI", mongodb_uri)
    monkeypatch.setenv("BLACKSTART_DATABASE", DATABASE)
    monkeypatch.setenv("BLACKSTART_OBJECT_STORE", str(bucket))
    fleet = Fleet(mongodb_uri, bucket)
    fleet.run(lambda desk: desk.store.create_indexes())
    yield fleet
    fleet.run(lambda desk: desk.store.drop())


async def broken_fleet(desk: Desk) -> list[Any]:
    """An enterprise and a free site, two deploys each; the last one is in no snapshot."""
    sites = [await new_site(desk, "big", Plan.ENTERPRISE), await new_site(desk, "small", Plan.FREE)]
    for site in [*sites, sites[0]]:
        await release(desk, site)
    await snapshot(desk)
    desk.clock.advance(60)  # type: ignore[attr-defined]
    await release(desk, sites[1])
    before = await documents(desk)
    await destroy(desk)
    return before


def narrow(text: str) -> bool:
    return max(map(len, text.splitlines()), default=0) <= 80


def test_a_broken_fleet_is_brought_back_taken_back_and_brought_back(
    call: Call, fleet: Fleet
) -> None:
    before = fleet.run(broken_fleet)
    broken = fleet.run(documents)

    found = call("recover", "find")
    assert (found.code, narrow(found.out)) == (0, True)
    assert "Deploys with invalid metadata: 4" in found.out
    assert found.out.index("big") < found.out.index("small")

    planned = call("recover", "plan", "plan.json")
    assert (planned.code, narrow(planned.out)) == (0, True)
    assert planned.out.index("big") < planned.out.index("small")
    assert call("recover", "plan", "--show", "plan.json").out == planned.out

    looked = call("recover", "apply", "plan.json")
    assert looked.code == 0
    assert "4  would be done" in looked.out
    assert "--yes does it" in looked.out
    assert fleet.run(documents) == broken
    assert not Path(".blackstart").exists()
    assert call("recover", "verify", "plan.json").code == 1

    done = call("recover", "apply", "plan.json", "--yes", "--json")
    report = json.loads(done.out)
    assert (done.code, report["applied"], report["resumed"]) == (0, 4, False)
    verified = call("recover", "verify", "plan.json")
    assert (verified.code, narrow(verified.out)) == (0, True)
    assert "3  restored" in verified.out
    assert "1  reverted" in verified.out
    again = json.loads(call("recover", "apply", "plan.json", "--yes", "--json").out)
    assert (again["applied"], again["already"]) == (0, 4)

    assert call("recover", "undo", report["run"]).code == 0
    undone = call("recover", "undo", report["run"], "--yes")
    assert undone.code == 0
    assert "taken back" in undone.out
    assert fleet.run(documents) == broken
    call("recover", "apply", "plan.json", "--yes")
    newest = max(before, key=lambda raw: raw["created_at"])
    expected = [raw if raw["_id"] != newest["_id"] else raw | {"metadata": LOST} for raw in before]
    assert fleet.run(documents) == expected


def test_findings_and_verdicts_are_lines_of_json(call: Call, fleet: Fleet) -> None:
    fleet.run(broken_fleet)
    rows = [json.loads(line) for line in call("recover", "find", "--json").out.splitlines()]
    assert {row["kind"] for row in rows} == {"invalid-deploy", "site", "failing-response"}
    verdicts = call("recover", "verify", "--json")
    assert verdicts.code == 1
    states = [json.loads(line)["state"] for line in verdicts.out.splitlines()]
    assert states == ["lost"] * 4


def test_nothing_broken_is_said_and_an_empty_plan_can_be_applied(call: Call, fleet: Fleet) -> None:
    done = call("recover", "find")
    assert done.out == "Nothing is broken.\n"
    assert f"database {DATABASE} holds NO DEPLOYS" in done.err
    assert "the plan is empty" in call("recover", "plan", "plan.json").out
    assert call("recover", "apply", "plan.json", "--yes").code == 0
    assert call("recover", "verify", "plan.json").code == 0
    assert call("recover", "verify").out == "no deploy is affected\n"


def test_what_changed_since_the_plan_is_named_and_the_exit_code_tells(
    call: Call, fleet: Fleet
) -> None:
    fleet.run(broken_fleet)
    call("recover", "plan", "plan.json")

    async def meddle(desk: Desk) -> None:
        await desk.store.database["deploys"].update_many({}, {"$set": {"metadata": "other"}})

    fleet.run(meddle)
    done = call("recover", "apply", "plan.json", "--yes")
    assert done.code == 1
    assert "changed since, and left alone" in done.out


def test_a_source_that_is_broken_is_named_in_the_plan(call: Call, fleet: Fleet) -> None:
    fleet.run(broken_fleet)
    for manifest in (fleet.folder / "snapshots" / "manifests").iterdir():
        manifest.write_bytes(manifest.read_bytes()[:-9])
    planned = call("recover", "plan", "plan.json")
    assert narrow(planned.out)
    assert "What is wrong with the sources" in planned.out
    assert "by snapshot" not in planned.out
    assert "pointer log: it holds no pointers" in planned.out.replace("\n", " ")


def test_routes_and_sites_can_be_chosen(call: Call, fleet: Fleet) -> None:
    fleet.run(broken_fleet)
    planned = call("recover", "plan", "p.json", "--route", "snapshot", "--site", "big", "--quick")
    assert planned.code == 0
    entries = json.loads(Path("p.json").read_text())["entries"]
    assert [(entry["site"], entry["route"]) for entry in entries] == [("big", "snapshot")] * 2


def test_a_commit_is_looked_for_before_a_rebuild_is_planned(
    call: Call,
    fleet: Fleet,
    make_repository: Callable[[str], Repository],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository = make_repository("docs")
    monkeypatch.setenv("BLACKSTART_REPO_FOLDERS", str(repository.folder.parent))
    commit = repository.commit(PAGE)

    async def built(desk: Desk) -> None:
        for name, ref in (("right", commit), ("wrong", "0" * 40)):
            site = await new_site(desk, name, Plan.PRO, repository.repo)
            await release(desk, site, commit_ref=ref)
        await destroy(desk)

    fleet.run(built)
    call("recover", "plan", "plan.json")
    entries = json.loads(Path("plan.json").read_text())["entries"]
    assert {entry["site"]: entry["route"] for entry in entries} == {
        "right": "rebuild",
        "wrong": "none",
    }


@pytest.mark.parametrize("command", ["find", "plan", "apply", "undo", "verify"])
def test_help_fits_in_80_columns_and_names_the_database(call: Call, command: str) -> None:
    done = call("recover", command, "--help")
    assert (done.code, done.err, narrow(done.out)) == (0, "", True)
    if command != "plan":
        assert "BLACKSTART_MONGODB_URI" in done.out


@pytest.mark.usefixtures("fleet")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["plan"], 2, "FILE"),
        (["plan", "p.json", "--route", "magic"], 2, "choose from snapshot, pointer-log"),
        (["plan", "p.json", "--site", "nobody"], 1, "no site 'nobody'"),
        (["plan", "--show", "p.json"], 1, "cannot read the plan p.json"),
        (["apply", "p.json"], 1, "cannot read the plan p.json"),
        (["apply", "p.json", "--rate", "0"], 2, "--rate"),
        (["undo", "p.1", "--yes"], 1, "no run 'p.1'"),
        (["undo", "../p.1", "--yes"], 1, "no run '../p.1'"),
        (["undo", "x" * 300 + ".1"], 1, "no run 'xxx"),
        (["undo", "p.1", "--journal", "/dev/null/x"], 1, "Not a directory"),
        ([], 2, "recover --help"),
    ],
)
def test_a_refusal_is_one_line(call: Call, arguments: list[str], code: int, said: str) -> None:
    done = call("recover", *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_plan_that_was_tampered_with_and_one_of_another_database_are_refused(
    call: Call, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.run(broken_fleet)
    call("recover", "plan", "plan.json")
    Path("other.json").write_text(Path("plan.json").read_text().replace("big", "bug"))
    for command in ("apply", "verify"):
        done = call("recover", command, "other.json")
        assert (done.code, done.out) == (1, "")
        assert "another digest" in done.err
    monkeypatch.setenv("BLACKSTART_DATABASE", f"{DATABASE}-2")
    for command in ("apply", "verify"):
        done = call("recover", command, "plan.json")
        assert (done.code, done.out) == (1, "")
        assert "is of database" in done.err


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BLACKSTART_MONGODB_URI", "", "no database is named"),
        ("BLACKSTART_OBJECT_STORE", "", "no object store is named"),
        ("BLACKSTART_OBJECT_STORE", "memory://", "no object store is named"),
        ("BLACKSTART_OBJECT_STORE", "/nowhere/at/all", "no object store at /nowhere"),
    ],
)
def test_without_its_stores_the_variable_is_named(
    call: Call, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    done = call("recover", "find")
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert name in done.err


def test_ctrl_c_ends_a_run_in_order_and_the_same_command_goes_on(
    call: Call, fleet: Fleet, until: Any
) -> None:
    async def many(desk: Desk) -> list[Any]:
        site = await new_site(desk, "docs", Plan.PRO)
        for _ in range(20):
            await release(desk, site)
        await snapshot(desk)
        before = await documents(desk)
        await destroy(desk)
        return before

    before = fleet.run(many)
    call("recover", "plan", "plan.json")
    command = [sys.executable, "-P", "-m", "blackstart.cli", "recover", "apply", "plan.json"]
    with subprocess.Popen(
        [*command, "--yes", "--rate", "4"], stderr=subprocess.PIPE, text=True
    ) as process:
        journals = Path(".blackstart/recovery")

        def begun() -> bool:
            return any("outcome" in file.read_text() for file in journals.glob("*.jsonl"))

        asyncio.run(until(begun))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the same command goes on" in said
    assert fleet.run(documents) != before
    done = json.loads(call("recover", "apply", "plan.json", "--yes", "--json").out)
    assert (done["applied"], done["resumed"]) == (20, True)
    assert fleet.run(documents) == before
