"""`blackstart pointer-log`: shown in 80 columns, verified to the last line, rebuilt from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.conftest import LOST, START_S, ManualClock, Purges, Recorder, manifest_of, sha1_of

from blackstart.cli.ledgers import read_since
from blackstart.control.deploys import DeployService
from blackstart.control.publish import Publisher
from blackstart.errors import UsageError
from blackstart.model import Deploy, InvalidDeploy, Plan, Site
from blackstart.safeguards import Safeguards
from blackstart.seed import Seed
from blackstart.store import MetadataStore, ObjectStore
from blackstart.store.metadata import connect
from blackstart.store.pointers.opening import open_pointer_log

Call = Callable[..., Any]
DATABASE = "test-cli-pointer-log"
SITES = 3
VERSIONS = 2
T = TypeVar("T")


class Platform:
    """A small platform's stores, and the deploys that were made on it, oldest first."""

    def __init__(self, folder: Path, uri: str) -> None:
        self.bucket = folder / "objects"
        self.log = folder / "log"
        self.deploys: list[Deploy] = []
        self._uri = uri

    def with_store(self, work: Callable[[MetadataStore], Coroutine[Any, Any, T]]) -> T:
        async def run() -> T:
            async with connect(self._uri, DATABASE) as store:
                return await work(store)

        return asyncio.run(run())

    async def deploy(self, store: MetadataStore) -> None:
        objects, clock, events = ObjectStore.open(str(self.bucket)), ManualClock(), Recorder()
        on, seed = Safeguards(["pointer-log"]), Seed(5)
        shared: dict[str, Any] = {"clock": clock, "safeguards": on, "events": events}
        publisher = Publisher(store, Purges(), **shared)
        async with open_pointer_log(
            self.log, "control", objects, clock=clock, seed=seed, events=events
        ) as log:
            service = DeployService(store, objects, seed=seed, pointers=log, **shared)
            for number in range(SITES):
                site = Site(
                    id=seed.new_id(),
                    name=f"s{number}",
                    plan=Plan.PRO,
                    repo=None,
                    created_at=clock.now(),
                )
                await store.sites.insert(site)
                for version in range(VERSIONS):
                    clock.advance(3_600)
                    page = b"%d of %d" % (version, number)
                    await objects.put_blob(page, sha1_of(page))
                    made = await service.create(
                        site.id,
                        manifest_of({"index.html": page}),
                        branch="main",
                        commit_ref="c" * 40,
                    )
                    await service.finish(made.id)
                    await publisher.publish(made.id)
                    found = await store.deploys.get(made.id)
                    assert isinstance(found, Deploy)
                    self.deploys.append(found)

    def destroy(self, deploy: Deploy) -> None:
        async def overwrite(store: MetadataStore) -> None:
            await store.database["deploys"].update_one(
                {"_id": deploy.id}, {"$set": {"metadata": dict(LOST)}}
            )

        self.with_store(overwrite)

    def found(self, deploy: Deploy) -> Deploy | InvalidDeploy:
        return self.with_store(lambda store: store.deploys.get(deploy.id))

    def segments(self) -> list[Path]:
        return sorted((self.bucket / "pointer-log").rglob("*.jsonl"))


@pytest.fixture
def platform(
    mongodb_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    """What the command line is pointed at."""
    platform = Platform(tmp_path, mongodb_uri)
    platform.with_store(platform.deploy)
    monkeypatch.setenv("BLACKSTART_MONGODB_URI", mongodb_uri)
    monkeypatch.setenv("BLACKSTART_DATABASE", DATABASE)
    monkeypatch.setenv("BLACKSTART_OBJECT_STORE", str(platform.bucket))
    monkeypatch.setenv("BLACKSTART_POINTER_LOG", str(platform.log))
    yield platform
    platform.with_store(lambda store: store.drop())


def shown(call: Call, *options: str) -> list[str]:
    """The deploys that `show` gives."""
    done = call("pointer-log", "show", "--json", *options)
    assert (done.code, done.err) == (0, "")
    return [each["deploy"] for each in json.loads(done.out)]


def test_the_newest_pointers_come_first_and_fit_in_80_columns(
    call: Call, platform: Platform
) -> None:
    done = call("pointer-log", "show")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    ids = [deploy.id for deploy in reversed(platform.deploys)]
    assert [next(each for each in ids if each in line) for line in lines[2:]] == ids
    newest = platform.deploys[-1]
    assert newest.site_id[:7] in lines[2]
    assert (newest.metadata.tree or "")[:6] in lines[2]


def test_json_has_all_of_it(call: Call, platform: Platform) -> None:
    done = call("pointer-log", "show", "--json", "--limit", "1")
    (pointer,) = json.loads(done.out)
    deploy, before = platform.deploys[-1], platform.deploys[-2]
    assert pointer["tree"] == deploy.metadata.tree
    assert pointer["previous"] == before.metadata.tree
    assert pointer["commit"] == "c" * 40
    assert (pointer["files"], pointer["bytes"], pointer["number"]) == (1, 6, 2)
    assert pointer["writer"].startswith("control-1-")
    assert (pointer["segment"], pointer["seq"]) == (1, SITES * VERSIONS + 1)
    assert done.err == "there are 5 older ones: give --limit\n"


def test_pointers_are_picked_by_site_deploy_and_time(call: Call, platform: Platform) -> None:
    deploys = platform.deploys
    one = deploys[2]
    assert shown(call, "--site", one.site_id) == [deploys[3].id, one.id]
    assert shown(call, "--deploy", one.id[:10]) == [one.id]
    late = datetime.fromtimestamp(START_S, UTC) + timedelta(hours=5)
    assert shown(call, "--since", late.isoformat()) == [deploys[5].id, deploys[4].id]
    assert shown(call, "--since", "1d") == []


@pytest.mark.parametrize("text", ["yesterday", "5", "m", "-3h", "2017-13-01", "9" * 30 + "d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"not a time|before all time"):
        read_since(text)


def test_a_whole_log_is_said_to_be_whole(call: Call, platform: Platform) -> None:
    done = call("pointer-log", "verify")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("the log is whole: 6 pointers\n")
    assert max(map(len, done.out.splitlines())) <= 80
    found = json.loads(call("pointer-log", "verify", "--json").out)
    assert found["whole"] is True
    assert [each["pointers"] for each in found["writers"].values()] == [6]


def test_a_damaged_log_is_named_and_shown_as_far_as_it_goes(call: Call, platform: Platform) -> None:
    (segment,) = platform.segments()
    segment.write_bytes(segment.read_bytes().replace(b'"number":2,', b'"number":3,', 1))
    done = call("pointer-log", "verify")
    assert done.code == 1
    assert "damaged-line: line 3 of segment 1 of control-1-" in done.out
    assert done.out.endswith("the log is not whole: 1 problem\n")
    found = json.loads(call("pointer-log", "verify", "--json").out)
    assert [each["kind"] for each in found["problems"]] == ["damaged-line"]
    done = call("pointer-log", "show")
    assert done.code == 0
    assert done.err == "the log has a problem: see `blackstart pointer-log verify`\n"


def test_a_missing_segment_is_named_by_the_local_part(call: Call, platform: Platform) -> None:
    (segment,) = platform.segments()
    segment.unlink()
    done = call("pointer-log", "verify")
    assert done.code == 1
    assert "missing-segment: segment 1 is missing from control-1-" in done.out
    assert "(numbers 1 to 8)" in done.out


def test_a_part_that_cannot_be_read_is_not_verified(
    call: Call, platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BLACKSTART_POINTER_LOG", str(tmp_path / "nowhere"))
    done = call("pointer-log", "verify")
    assert done.code == 1
    assert "could not verify: a part of the log could not be looked at" in done.out
    assert done.out.endswith("could not verify the log: a part of it could not be read\n")


def test_where_there_is_no_log_nothing_is_verified(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BLACKSTART_OBJECT_STORE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    done = call("pointer-log", "verify")
    assert (done.code, done.out) == (1, "could not verify the log: there is none here\n")
    assert done.err.startswith("no local part here")


@pytest.mark.parametrize("store", ["", "memory://", "nowhere"])
def test_an_object_store_that_is_none_is_refused_and_not_made(
    call: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BLACKSTART_OBJECT_STORE", store)
    done = call("pointer-log", "show")
    assert done.code == 2
    assert "BLACKSTART_OBJECT_STORE" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_rebuild_changes_nothing_unless_it_is_told_to(call: Call, platform: Platform) -> None:
    deploy = platform.deploys[2]
    platform.destroy(deploy)
    done = call("pointer-log", "rebuild")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    assert deploy.id in done.out
    assert "inferred: completed_at" in " ".join(done.out.split())
    assert done.out.endswith("would set: 1\n")
    assert done.err == "nothing was changed: give --apply to set it\n"
    assert isinstance(platform.found(deploy), InvalidDeploy)


def test_a_rebuild_that_is_applied_brings_pointers_back_and_a_second_one_has_nothing_to_do(
    call: Call, platform: Platform
) -> None:
    for deploy in platform.deploys[1:4]:
        platform.destroy(deploy)
    done = call("pointer-log", "rebuild", "--apply")
    assert done.code == 0
    assert done.out.endswith("set: 3\n")
    for deploy in platform.deploys:
        again = platform.found(deploy)
        assert isinstance(again, Deploy)
        assert again.metadata.tree == deploy.metadata.tree
    done = call("pointer-log", "rebuild", "--apply")
    assert (done.code, done.out, done.err) == (0, "", "no deploy has lost its pointer\n")


def test_what_the_log_cannot_bring_back_is_named(call: Call, platform: Platform) -> None:
    lost, found = platform.deploys[:2]
    platform.destroy(lost)
    platform.destroy(found)
    (segment,) = platform.segments()
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(line for line in lines if lost.id.encode() not in line))
    done = call("pointer-log", "rebuild", "--json")
    assert done.code == 1
    assert done.err == "the log has a problem: see `blackstart pointer-log verify`\n"
    outcomes = {each["deploy"]: each for each in json.loads(done.out)}
    assert outcomes[lost.id]["outcome"] == "cannot"
    assert outcomes[lost.id]["why"] == "the log has no pointer of it"
    assert outcomes[found.id]["outcome"] == "would set"
    assert outcomes[found.id]["metadata"]["tree"] == found.metadata.tree
    assert outcomes[found.id]["inferred"] == ["completed_at"]


def test_a_rebuild_without_a_database_is_refused(
    call: Call, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BLACKSTART_MONGODB_URI")
    done = call("pointer-log", "rebuild")
    assert done.code == 2
    assert "BLACKSTART_MONGODB_URI" in done.err
