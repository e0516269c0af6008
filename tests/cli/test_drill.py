"""`blackstart drill`: bad input, what is printed and kept, and that nothing stays when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from blackstart.cli.drill import repeat_command
from blackstart.drills.checks import RULES, Check, Status
from blackstart.drills.drill import Order
from blackstart.drills.incidents.feb2 import FEB2
from blackstart.drills.result import Fleet, Result, prepare_out, write_out
from blackstart.errors import StorageError
from blackstart.safeguards import Safeguards

if TYPE_CHECKING:
    from tests.conftest import Repository

Call = Callable[..., Any]
Until = Callable[[Callable[[], bool]], Any]

COMMAND = [sys.executable, "-P", "-m", "blackstart.cli", "drill"]
SMALL = ["feb2", "--sites", "20"]
PATIENCE_S = 120.0
# The result's keys are a promise to scripts.
KEYS = {
    "incident": str,
    "seed": int,
    "safeguards": list,
    "fault": str,
    "fleet": dict,
    "checks": list,
    "outcomes": dict,
    "availability": dict,
    "downtime_min": dict,
    "repositories": list,
    "timeline": list,
    "journal_sha256": str,
    "simulated_s": float,
    "wall_s": float,
    "peak_rss_mb": float,
}


def environment(temporary: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """A terminal of 80 columns, no settings, and a temporary folder of its own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BLACKSTART_")}
    return {**kept, "COLUMNS": "80", "TMPDIR": str(temporary), **(more or {})}


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the drill makes its temporary folders."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


# --- Bad input ---


@dataclass(frozen=True)
class Refusal:
    """A command line that cannot be done, and how it says so."""

    arguments: Sequence[str]
    said: str
    code: int = 2
    more: Mapping[str, str] | None = None


REFUSALS = {
    "unknown incident": Refusal(["feb3"], "unknown incident 'feb3'"),
    "unknown safeguard": Refusal(["feb2", "--with", "nonsense"], "unknown safeguard 'nonsense'"),
    "planned safeguard": Refusal(["feb2", "--with", "schema-validator"], "planned but not"),
    "no sites": Refusal(["feb2", "--sites", "0"], "a fleet of 0 sites"),
    "negative sites": Refusal(["feb2", "--sites", "-1"], "a fleet of -1 sites"),
    "too many sites": Refusal(["feb2", "--sites", "9" * 30], "a fleet of 9999"),
    "no number": Refusal(["feb2", "--sites", "abc"], "'--sites'"),
    "no seed": Refusal(["feb2", "--seed", "1.5"], "'--seed'"),
    "no incident": Refusal([], "Missing argument"),
    "missing repository": Refusal(["feb2", "--repo", "{tmp}/missing"], "no such folder"),
    "no repository": Refusal(["feb2", "--repo", "{tmp}"], "not a git repository"),
    "no commit": Refusal(["feb2", "--repo", "{tmp}/empty"], "no readable commit"),
    "out is a file": Refusal([*SMALL, "--out", "{tmp}/file"], "--out", code=1),
    "out below a file": Refusal([*SMALL, "--out", "{tmp}/file/below"], "--out", code=1),
    "no out possible": Refusal([*SMALL, "--out", "/dev/null/out"], "--out", code=1),
    "no MongoDB": Refusal(
        SMALL,
        "MongoDB does not answer",
        code=1,
        more={"BLACKSTART_MONGODB_URI": "mongodb://127.0.0.1:1"},
    ),
    "no MongoDB address": Refusal(
        SMALL,
        "not a MongoDB address",
        code=1,
        more={"BLACKSTART_MONGODB_URI": "mongodb://127.0.0.1:port"},
    ),
}


WITH_A_DATABASE = ("no MongoDB", "no MongoDB address")
AS_PROCESSES = ("unknown incident", "no commit", "out below a file", *WITH_A_DATABASE)


@pytest.fixture
def around(make_repository: Callable[[str], Repository], tmp_path: Path) -> set[Path]:
    """All that is there before: a file, and a repository without a commit."""
    make_repository("empty").folder.rename(tmp_path / "empty")
    (tmp_path / "repositories").rmdir()
    (tmp_path / "file").write_bytes(b"kept")
    return set(tmp_path.rglob("*"))


@pytest.mark.parametrize("case", [name for name in REFUSALS if name not in WITH_A_DATABASE])
def test_what_cannot_be_done_is_said_in_one_line_and_leaves_nothing(
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    temporary: Path,
    around: set[Path],
    case: str,
) -> None:
    refusal = REFUSALS[case]
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    done = call("drill", *(each.format(tmp=tmp_path) for each in refusal.arguments))
    assert (done.code, done.out) == (refusal.code, "")
    _is_one_line(done.err, refusal.said)
    assert set(tmp_path.rglob("*")) == around | {temporary}


@pytest.mark.parametrize("case", AS_PROCESSES)
async def test_nor_does_a_whole_process_that_cannot_do_it_leave_anything(
    tmp_path: Path, temporary: Path, around: set[Path], until: Until, case: str
) -> None:
    refusal = REFUSALS[case]
    arguments = [each.format(tmp=tmp_path) for each in refusal.arguments]
    done = await asyncio.to_thread(
        subprocess.run,
        [*COMMAND, *arguments, "--json"],
        env=environment(temporary, refusal.more),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (refusal.code, "")
    _is_one_line(done.stderr, refusal.said)
    await until(lambda: not list(temporary.iterdir()))
    assert set(tmp_path.rglob("*")) == around | {temporary}
    assert (tmp_path / "file").read_bytes() == b"kept"


def _is_one_line(said: str, reason: str) -> None:
    [line] = said.splitlines()
    assert line.startswith("error: ")
    assert reason in line


# --- A day, twice ---


@dataclass(frozen=True)
class Run:
    """One drill that ran to its end."""

    code: int
    out: str
    err: str
    kept: Path
    left: list[Path]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """The same day twice at once, so that each has a busy neighbour: as JSON, and as a report."""
    folders = [tmp_path_factory.mktemp(name) for name in ("json", "report")]
    running = [
        start_small(folder, hash_seed, more)
        for folder, hash_seed, more in zip(folders, ("0", "12345"), (["--json"], []), strict=True)
    ]
    done = []
    for folder, process in zip(folders, running, strict=True):
        out, err = process.communicate()
        left = list((folder / "tmp").iterdir())
        done.append(Run(process.returncode, out, err, folder / "out", left))
    return done


def start_small(folder: Path, hash_seed: str, more: list[str]) -> subprocess.Popen[str]:
    (folder / "tmp").mkdir(parents=True)
    return subprocess.Popen(
        [*COMMAND, *SMALL, "--seed", "7", "--out", str(folder / "out"), *more],
        env=environment(folder / "tmp", {"PYTHONHASHSEED": hash_seed}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_both_pass_and_leave_nothing_behind(days: list[Run]) -> None:
    for day in days:
        assert (day.code, day.left) == (0, []), day.err


def test_as_json_exactly_one_object_is_printed_with_exactly_the_promised_keys(
    days: list[Run],
) -> None:
    assert days[0].err == ""
    [line] = days[0].out.splitlines()
    result = json.loads(line)
    assert {key: type(value) for key, value in result.items()} == KEYS
    assert set(result["fleet"]) == {"sites", "deploys", "affected_deploys", "affected_sites"}
    assert set(result["outcomes"]) == {
        "restored",
        "rebuilt",
        "reverted",
        "pushed_through",
        "lost",
    }
    assert sum(result["outcomes"].values()) == result["fleet"]["affected_deploys"]
    plans = {"free", "pro", "global", "enterprise"}
    assert set(result["availability"]) == plans
    assert set(result["downtime_min"]) <= plans
    for minutes in result["downtime_min"].values():
        assert set(minutes) == {"median", "max"}
    for moment in result["timeline"]:
        assert set(moment) == {"offset_s", "event"}
    for check in result["checks"]:
        assert set(check) == {"id", "title", "expected", "observed", "status"}
        assert check["status"] == "passed"
    assert [check["id"] for check in result["checks"]] == [rule.id for rule in RULES]
    assert (result["incident"], result["seed"], result["safeguards"]) == ("feb2", 7, [])
    assert result["fleet"]["sites"] == 20


def test_the_report_fits_in_80_columns_and_names_every_check(days: list[Run]) -> None:
    lines = days[1].out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    words = " ".join(days[1].out.split())
    for rule in RULES:
        assert rule.title in words
    assert "16 of 16 checks passed" in words
    assert "\x1b" not in days[1].out + days[1].err


def test_the_phases_are_told_while_people_wait(days: list[Run]) -> None:
    told = [line.removesuffix(" ...") for line in days[1].err.splitlines()]
    expected = ["building the fleet", "warming the caches", "outage and response"]
    assert [phase for phase in told if phase in expected] == expected


def test_the_same_seed_gives_the_same_journal_whatever_else_goes_on(days: list[Run]) -> None:
    journals = [(day.kept / "journal.jsonl").read_bytes() for day in days]
    assert journals[0] == journals[1]
    results = [json.loads((day.kept / "result.json").read_text()) for day in days]
    for result in results:
        del result["wall_s"], result["peak_rss_mb"]
    assert results[0] == results[1]


def test_the_journal_and_the_result_are_kept(days: list[Run]) -> None:
    printed = json.loads(days[0].out)
    kept = days[0].kept
    assert sorted(path.name for path in kept.iterdir()) == ["journal.jsonl", "result.json"]
    assert json.loads((kept / "result.json").read_text()) == printed
    journal = (kept / "journal.jsonl").read_bytes()
    assert hashlib.sha256(journal).hexdigest() == printed["journal_sha256"]
    entries = [json.loads(line) for line in journal.splitlines()]
    offsets = [entry["offset_s"] for entry in entries]
    assert offsets == sorted(offsets)
    assert {"offset_s", "actor", "action", "subject"} <= set(entries[0])


# --- Keeping ---


@pytest.fixture
def result() -> Result:
    """A drill one of whose checks could not be judged."""
    check = Check("outcome-01", "The migration hits", "5.2 %", "nothing", Status.UNKNOWN)
    return Result(
        incident="feb2",
        seed=3,
        safeguards=[],
        fault="took effect",
        fleet=Fleet(20, 100, 5, 4),
        checks=[replace(check, id="outcome-02", status=Status.PASSED), check],
        outcomes={"restored": 5},
        availability={"free": 0.9},
        downtime_min={},
        repositories=[],
        timeline=[],
        journal_sha256="0" * 64,
        simulated_s=60.0,
        wall_s=1.0,
        peak_rss_mb=1.0,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


OLD = {"journal.jsonl": b"old journal\n", "result.json": b"{}\n"}


@pytest.fixture(params=[{}, OLD], ids=["an empty folder", "an older result"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    for name, data in request.param.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("which", [1, 2], ids=["the journal", "the result"])
def test_a_disk_that_is_full_at_the_end_of_a_file_leaves_all_as_it_was(
    out: Path, result: Result, monkeypatch: pytest.MonkeyPatch, which: int
) -> None:
    before, calls, fsync = contents(out), [], os.fsync

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == which:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"^cannot write to --out .*: No space left on device$"):
        write_out(out, result, ["{}"])
    assert contents(out) == before


def test_a_disk_that_is_full_in_the_middle_of_a_file_leaves_all_as_it_was(
    out: Path, result: Result
) -> None:
    before = contents(out)
    with files_of_at_most(100_000), pytest.raises(StorageError, match="cannot write to --out"):
        write_out(out, result, _endless_lines())
    assert contents(out) == before


@contextlib.contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """The nearest to a full disk that needs no disk: the kernel refuses to write more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _endless_lines() -> Iterable[str]:
    for _ in range(1_000_000):
        yield "x" * 100


def test_a_new_result_replaces_the_old_one_whole(out: Path, result: Result) -> None:
    write_out(out, result, ["{}", "{}"])
    assert sorted(contents(out)) == ["journal.jsonl", "result.json"]
    assert (out / "journal.jsonl").read_bytes() == b"{}\n{}\n"
    assert json.loads((out / "result.json").read_text())["seed"] == 3


def test_a_folder_for_the_result_is_made_before_the_drill_and_stays_empty(tmp_path: Path) -> None:
    prepare_out(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


# --- Failing ---


def test_a_check_that_did_not_pass_makes_exit_code_1_and_the_day_can_be_repeated(
    call: Call, monkeypatch: pytest.MonkeyPatch, result: Result
) -> None:
    # The package exports the function under the module's name, so the module is looked up.
    module = sys.modules["blackstart.cli.drill"]
    monkeypatch.setattr(module, "_run", lambda order, quiet: (result, None))
    for form in ([], ["--json"]):
        done = call("drill", "feb2", "--sites", "20", "--seed", "3", *form)
        assert done.code == 1
        assert done.err == "repeat with: ./blackstart drill feb2 --sites 20 --seed 3\n"
    assert json.loads(done.out)["checks"][1]["status"] == "unknown"
    passed = replace(result, checks=result.checks[:1])
    monkeypatch.setattr(module, "_run", lambda order, quiet: (passed, None))
    done = call("drill", "feb2", "--sites", "20", "--json")
    assert (done.code, done.err) == (0, "")


def test_the_report_of_a_failure_wraps_what_is_long_and_loses_no_word(
    call: Call, monkeypatch: pytest.MonkeyPatch, result: Result
) -> None:
    expected = " ".join(f"expected-{number}" for number in range(20))
    observed = " ".join(f"observed-{number}" for number in range(20))
    failed = replace(result.checks[0], expected=expected, observed=observed, status=Status.FAILED)
    module = sys.modules["blackstart.cli.drill"]
    found = replace(result, checks=[failed])
    monkeypatch.setattr(module, "_run", lambda order, quiet: (found, None))
    done = call("drill", "feb2")
    assert max(len(line.rstrip()) for line in done.out.splitlines()) <= 80
    words = " ".join(done.out.split())
    assert expected in words
    assert observed in words
    assert "FAILED" in words


def test_the_command_that_repeats_a_day_names_all_that_made_it() -> None:
    order = Order(FEB2, 50, 9, Safeguards(["tolerant-api", "honest-origin"]))
    command = repeat_command(order, ["/my site", "/it's"])
    assert shlex.split(command) == [
        "./blackstart",
        "drill",
        "feb2",
        "--sites",
        "50",
        "--seed",
        "9",
        "--with",
        "tolerant-api,honest-origin",
        "--repo",
        "/my site",
        "--repo",
        "/it's",
    ]
