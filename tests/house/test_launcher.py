"""The launcher, run for real on a copy of the project with stand-ins for Python, pip and uv.

The stand-ins do what they are told by files in a folder of their own, so no test needs the network.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = ("cat", "cksum", "cp", "dirname", "git", "mkdir", "mv")
TOOLS += ("readlink", "rm", "sed", "tail", "touch")
LOCKS = ("requirements.lock", "requirements-mongodb.lock")
WAIT_S = 20

PYTHON = """\
#!/bin/sh
case "$*" in
  *sys.executable*) [ -e {state}/python-is-old ] || printf '%s\\n' "$0" ;;
  *ensurepip*) [ ! -e {state}/venv-is-missing ] ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-m pip "*) exec {state}/install "$@" ;;
  *blackstart.cli*)
    printf '%s\\n' "$PWD" "$@"
    exec >{state}/bytecode
    printf '%s\\n' "${{PYTHONDONTWRITEBYTECODE-unset}}" "${{PYTHONPYCACHEPREFIX-unset}}" ;;
  *) exec {python} "$@" ;;
esac
"""
UV = """\
#!/bin/sh
printf '[%s]' uv "$@" >>{state}/calls
printf '\\n' >>{state}/calls
case "$1" in
  venv) mkdir -p "$4/bin" && cp "$3" "$4/bin/python" ;;
  *) exec {state}/install "$@" ;;
esac
"""
INSTALL = """\
#!/bin/sh
printf '[%s]' "$@" >>{state}/calls
printf '\\n' >>{state}/calls
touch "$TMPDIR/left-by-pip"
if [ -e {state}/hangs ]; then
  printf started >{state}/started
  (read -r word <{state}/go) # in a process of its own, as pip builds a package in one
fi
for word in $(cat {state}/fails-on 2>/dev/null); do
  case "$*" in *"$word"*) printf 'no such package: %s\\n' "$word"; exit 1 ;; esac
done
"""


@dataclass
class Machine:
    """A machine with one copy of the project on it."""

    home: Path
    state: Path
    path: Path
    temporary: Path
    gate: int = -1

    @property
    def venv(self) -> Path:
        return self.home / ".venv"

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": str(self.path), "TMPDIR": str(self.temporary), **more}

    def run(
        self, *arguments: str, launcher: Path | None = None, cwd: Path | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [launcher or self.home / "blackstart", *arguments],
            cwd=cwd or self.home,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        """The launcher in a session of its own, so that a signal can be sent to all of it."""
        with subprocess.Popen(
            [self.home / "blackstart"],
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def tell(self, name: str, text: str = "") -> None:
        (self.state / name).write_text(text)

    def forget(self, name: str) -> None:
        (self.state / name).unlink()

    def calls(self) -> list[str]:
        """What pip and uv were asked for, in order."""
        calls = self.state / "calls"
        return calls.read_text().splitlines() if calls.exists() else []

    def make_installs_hang(self) -> None:
        self.tell("hangs")
        os.mkfifo(self.state / "started")
        os.mkfifo(self.state / "go")
        # Open for both, so that what is written stays until an install reads it.
        self.gate = os.open(self.state / "go", os.O_RDWR)

    def wait_until_installing(self) -> None:
        descriptor = os.open(self.state / "started", os.O_RDONLY | os.O_NONBLOCK)
        try:
            assert select.select([descriptor], [], [], WAIT_S)[0], "the set-up did not start"
            assert os.read(descriptor, 7) == b"started"
        finally:
            os.close(descriptor)

    def let_installs_go(self) -> None:
        self.forget("hangs")
        os.write(self.gate, b"go\n")

    def close_gate(self) -> None:
        """Whoever still waits at it reads the end of the file."""
        os.close(self.gate)
        self.gate = -1

    def an_install_runs(self) -> bool:
        self.close_gate()
        try:
            os.close(os.open(self.state / "go", os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def left_over(self) -> list[str]:
        """What there is beside what there was, in the project and among temporary files."""
        kept = {"blackstart", "pyproject.toml", *LOCKS, ".venv.lock"}
        here = {path.name for path in self.home.iterdir()} - kept
        return sorted(here | {path.name for path in self.temporary.iterdir()})


@pytest.fixture
def machine(tmp_path: Path, root: Path) -> Iterator[Machine]:
    made = Machine(
        home=tmp_path / "a project's folder",
        state=tmp_path / "state",
        path=tmp_path / "bin",
        temporary=tmp_path / "tmp",
    )
    for folder in (made.home, made.state, made.path, made.temporary):
        folder.mkdir()
    shutil.copy(root / "blackstart", made.home)
    for name in ("pyproject.toml", *LOCKS):
        (made.home / name).write_text(f"# {name}\n")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (made.path / tool).symlink_to(found)
    write_program(made.path / "python3", PYTHON, made)
    write_program(made.state / "install", INSTALL, made)
    yield made
    if made.gate >= 0:
        made.close_gate()


def write_program(path: Path, text: str, machine: Machine) -> None:
    path.write_text(text.format(state=machine.state, python=sys.executable))
    path.chmod(0o755)


def test_first_use_sets_up_and_then_runs_the_command_line(machine: Machine) -> None:
    run = machine.run("drill", "feb2", "--out", "a b")
    assert run.returncode == 0
    assert run.stdout.splitlines() == [
        str(machine.home), "-P", "-m", "blackstart.cli", "drill", "feb2", "--out", "a b",
    ]  # fmt: skip
    assert run.stderr.splitlines() == ["Setting up Blackstart (first use, about a minute) ..."]
    assert [call.rpartition("[")[2].removesuffix("]") for call in machine.calls()] == [
        f"{machine.home}/requirements.lock",
        f"{machine.home}",
        f"{machine.home}/requirements-mongodb.lock",
    ]
    assert machine.left_over() == [".venv"]


def test_a_second_use_sets_nothing_up(machine: Machine) -> None:
    machine.run()
    before = machine.calls()
    run = machine.run()
    assert (run.returncode, run.stderr, machine.calls()) == (0, "", before)


@pytest.mark.parametrize("changed", ["pyproject.toml", *LOCKS])
def test_a_changed_lock_or_project_sets_up_again(machine: Machine, changed: str) -> None:
    machine.run()
    (machine.venv / "old").touch()
    (machine.home / changed).write_text("# changed\n")
    assert "Setting up" in machine.run().stderr
    assert not (machine.venv / "old").exists()


def test_a_moved_project_sets_up_again(machine: Machine) -> None:
    machine.run()
    machine.home = machine.home.rename(machine.home.with_name("elsewhere"))
    assert "Setting up" in machine.run().stderr


def test_it_works_from_another_folder_and_leaves_the_caller_there(
    machine: Machine, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    assert machine.run(cwd=elsewhere).stdout.splitlines()[0] == str(elsewhere)
    assert machine.venv.is_dir()


def test_it_works_through_symbolic_links(machine: Machine, tmp_path: Path) -> None:
    links = tmp_path / "links here"
    links.mkdir()
    (links / "one").symlink_to(os.path.relpath(machine.home / "blackstart", links))
    (links / "two").symlink_to("one")
    run = machine.run(launcher=links / "two", cwd=links)
    assert (run.returncode, run.stdout.splitlines()[0]) == (0, str(links))
    assert machine.venv.is_dir()


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, ["unset", "unset"]),
        ({"PYTHONDONTWRITEBYTECODE": "1"}, ["unset", "VENV/bytecode"]),
        ({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": "/mine"}, ["unset", "/mine"]),
        ({"PYTHONPYCACHEPREFIX": "/mine"}, ["unset", "/mine"]),
    ],
    ids=["nothing said", "none beside sources", "none there and a place", "a place"],
)
def test_compiled_modules_are_kept_in_the_environment_when_not_beside_their_sources(
    machine: Machine, given: dict[str, str], seen: list[str]
) -> None:
    machine.run(**given)
    told = (machine.state / "bytecode").read_text().replace(str(machine.venv), "VENV")
    assert told.splitlines() == seen


def test_uv_is_used_when_it_is_there(machine: Machine) -> None:
    write_program(machine.path / "uv", UV, machine)
    machine.tell("venv-is-missing")
    assert machine.run("x").returncode == 0
    calls = machine.calls()
    assert calls[0].startswith("[uv][venv]")
    assert not any("[-m][pip]" in call for call in calls)


def test_a_set_up_that_fails_leaves_nothing_and_says_what_to_do(machine: Machine) -> None:
    machine.tell("fails-on", "requirements.lock")
    run = machine.run()
    assert (run.returncode, run.stdout) == (1, "")
    assert "    no such package: requirements.lock" in run.stderr.splitlines()
    assert "run this again" in run.stderr.splitlines()[-1]
    assert machine.left_over() == []
    machine.forget("fails-on")
    assert machine.run().returncode == 0


def test_only_the_end_of_the_log_is_shown(machine: Machine) -> None:
    noise = "for n in 1 2 3 4 5 6 7 8 9; do printf 'a\\nb\\nc\\n'; done"
    noisy = INSTALL.replace("printf 'no such", f"{noise}; printf 'no such")
    write_program(machine.state / "install", noisy, machine)
    machine.tell("fails-on", "requirements.lock")
    shown = [line for line in machine.run().stderr.splitlines() if line.startswith("    ")]
    assert (len(shown), shown[-1]) == (20, "    no such package: requirements.lock")


def test_without_a_build_of_the_embedded_mongodb_the_rest_works(machine: Machine) -> None:
    machine.tell("fails-on", "requirements-mongodb.lock")
    run = machine.run("x")
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, "x")
    (line,) = run.stderr.splitlines()[1:]
    assert "BLACKSTART_MONGODB_URI" in line
    assert machine.run().stderr == ""


@pytest.mark.parametrize(
    ("number", "everyone", "code"),
    [(signal.SIGINT, True, 130), (signal.SIGTERM, False, 143), (signal.SIGHUP, True, 129)],
    ids=["ctrl-c", "terminated", "terminal closed"],
)
def test_a_signal_during_set_up_leaves_nothing(
    machine: Machine, number: signal.Signals, everyone: bool, code: int
) -> None:
    machine.make_installs_hang()
    with machine.running() as process:
        machine.wait_until_installing()
        (os.killpg if everyone else os.kill)(process.pid, number)
        out, _ = process.communicate(timeout=WAIT_S)
        assert (process.returncode, out) == (code, "")
        assert not machine.an_install_runs()
    assert machine.left_over() == []


def test_after_kill_9_the_next_use_starts_over(machine: Machine) -> None:
    machine.make_installs_hang()
    with machine.running() as process:
        machine.wait_until_installing()
        (machine.venv / "half-made").touch()
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=WAIT_S)
    assert machine.venv.is_dir()
    machine.let_installs_go()
    run = machine.run()
    assert run.returncode == 0
    assert "Setting up" in run.stderr
    assert not (machine.venv / "half-made").exists()
    assert machine.left_over() == [".venv"]


def test_two_first_uses_at_once_set_up_once(machine: Machine) -> None:
    machine.make_installs_hang()
    with machine.running() as first, machine.running() as second:
        machine.wait_until_installing()
        readers = {stream.stderr: stream for stream in (first, second)}
        said: dict[int, str] = {}
        while len(said) < 2:
            ready, _, _ = select.select([r for r in readers if r is not None], [], [], WAIT_S)
            assert ready, "one of the two said nothing"
            for stream in ready:
                said[readers.pop(stream).pid] = stream.readline()
        assert sorted(line.split()[0] for line in said.values()) == ["Setting", "Waiting"]
        machine.let_installs_go()
        for process in (first, second):
            process.communicate(timeout=WAIT_S)
            assert process.returncode == 0
    assert len(machine.calls()) == 3


def assert_refused(run: subprocess.CompletedProcess[str], *words: str) -> None:
    assert (run.returncode, run.stdout) == (2, "")
    (line,) = run.stderr.splitlines()
    for word in words:
        assert word in line


def test_without_python_it_says_so_in_one_line(machine: Machine) -> None:
    (machine.path / "python3").unlink()
    assert_refused(machine.run(), "Python 3.11", "BLACKSTART_PYTHON")
    assert machine.left_over() == []


def test_an_old_python_is_refused(machine: Machine) -> None:
    machine.tell("python-is-old")
    assert_refused(machine.run(), "Python 3.11")


def test_a_name_with_no_python_behind_it_is_passed_over(machine: Machine) -> None:
    write_program(machine.path / "python3.13", "#!/bin/sh\nexit 127\n", machine)
    assert machine.run().returncode == 0


def test_without_the_venv_module_it_names_the_package(machine: Machine) -> None:
    machine.tell("venv-is-missing")
    assert_refused(machine.run(), "python3-venv")


def test_a_python_of_one_s_own_can_be_named(machine: Machine) -> None:
    (machine.path / "python3").rename(machine.state / "mine")
    assert machine.run(BLACKSTART_PYTHON=str(machine.state / "mine")).returncode == 0


def test_a_wrongly_named_python_is_refused(machine: Machine) -> None:
    assert_refused(machine.run(BLACKSTART_PYTHON="/no/such"), "BLACKSTART_PYTHON", "/no/such")


def test_without_git_it_says_so_in_one_line(machine: Machine) -> None:
    (machine.path / "git").unlink()
    assert_refused(machine.run(), "git")
