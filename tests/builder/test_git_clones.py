"""Tests of the cache of clones, against a git server over https on loopback."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from blackstart.builder.git import Checkout, Git
from blackstart.errors import RepositoryError
from blackstart.model import Repo
from blackstart.repositories import RepositoryPolicy

if TYPE_CHECKING:
    from tests.builder.conftest import GitServer
    from tests.conftest import Repository

Make = Callable[..., Git]


@pytest.fixture
def make_git(tmp_path: Path, git_server: GitServer) -> Make:
    """git that trusts the server, with a cache of the given name."""

    def make(cache: str = "cache", timeout_s: float = 60.0) -> Git:
        settings = git_server.settings
        return Git(tmp_path / cache, RepositoryPolicy(), settings=settings, timeout_s=timeout_s)

    return make


@pytest.fixture
def git(make_git: Make) -> Git:
    return make_git()


@pytest.fixture
def repo(git_server: GitServer, repository: Repository) -> Repo:
    return Repo(url=git_server.url("docs/.git"), branch="main")


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Path]:
    """Ever new empty folders."""

    def make() -> Iterator[Path]:
        number = 0
        while True:
            number += 1
            folder = tmp_path / "checkouts" / str(number)
            folder.mkdir(parents=True)
            yield folder

    return make()


def content(checkout: Checkout) -> bytes:
    return (checkout.folder / "index.html").read_bytes()


def clone_of(tmp_path: Path) -> Path:
    (clone,) = (tmp_path / "cache").glob("*/clone.git")
    return clone


def in_clone(tmp_path: Path, *arguments: str) -> str:
    command = ["git", "--git-dir", str(clone_of(tmp_path)), *arguments]
    return subprocess.run(command, check=True, capture_output=True).stdout.decode().strip()


async def test_an_address_is_cloned_once_and_then_read_from_the_cache(
    git: Git, repo: Repo, repository: Repository, git_server: GitServer, folders: Iterator[Path]
) -> None:
    commit = repository.commit({"index.html": b"home"})
    assert await git.head(repo) == commit
    git_server.requests.clear()
    assert content(await git.checkout(repo, commit, next(folders))) == b"home"
    assert git_server.requests == []


async def test_a_head_is_fetched_whenever_it_is_asked_for_also_when_it_was_moved_back(
    git: Git, repo: Repo, repository: Repository
) -> None:
    first = repository.commit({"index.html": b"first"})
    assert await git.head(repo) == first
    second = repository.commit({"index.html": b"second"})
    assert await git.head(repo) == second
    repository.git("reset", "--quiet", "--hard", first)
    assert await git.head(repo) == first
    repository.git("checkout", "--quiet", "-b", "other")
    repository.git("branch", "-D", "main")
    with pytest.raises(RepositoryError, match="no branch 'main' with a commit"):
        await git.head(repo)


async def test_workers_that_clone_at_the_same_time_share_one_whole_clone(
    make_git: Make, repo: Repo, repository: Repository, git_server: GitServer, tmp_path: Path
) -> None:
    commit = repository.commit({"index.html": b"home"})
    heads = await asyncio.gather(*(make_git().head(repo) for _ in range(4)))
    assert heads == [commit] * 4
    home = clone_of(tmp_path).parent
    assert sorted(path.name for path in home.iterdir()) == ["clone.git", "lock"]


async def test_a_named_commit_that_is_newer_than_the_cache_is_fetched(
    git: Git, repo: Repo, repository: Repository, folders: Iterator[Path]
) -> None:
    repository.commit({"index.html": b"first"})
    await git.head(repo)
    second = repository.commit({"index.html": b"second"})
    assert content(await git.checkout(repo, second[:10], next(folders))) == b"second"


async def test_a_commit_that_was_built_stays_when_its_branch_is_moved_away_and_git_cleans_up(
    git: Git, repo: Repo, repository: Repository, folders: Iterator[Path], tmp_path: Path
) -> None:
    lost = repository.commit({"index.html": b"lost"})
    await git.checkout(repo, lost, next(folders))
    forget(repository, lost)
    await git.head(repo)
    in_clone(tmp_path, "reflog", "expire", "--expire=now", "--all")
    in_clone(tmp_path, "gc", "--quiet", "--prune=now")
    assert content(await git.checkout(repo, lost, next(folders))) == b"lost"


def forget(repository: Repository, commit: str, *, for_good: bool = True) -> None:
    """Move the branch away from a commit by force; `for_good` the server loses it as well."""
    repository.git("checkout", "--quiet", "--orphan", "anew")
    repository.commit({"index.html": b"anew"})
    repository.git("branch", "--force", "main", "HEAD")
    if for_good:
        repository.git("reflog", "expire", "--expire=now", "--all")
        repository.git("gc", "--quiet", "--prune=now")


async def test_a_commit_that_no_branch_leads_to_is_asked_for_by_its_id(
    git: Git, repo: Repo, repository: Repository, folders: Iterator[Path], tmp_path: Path
) -> None:
    lost = repository.commit({"index.html": b"lost"})
    forget(repository, lost, for_good=False)
    assert content(await git.checkout(repo, lost, next(folders))) == b"lost"
    assert in_clone(tmp_path, "rev-parse", f"refs/blackstart/{lost}") == lost


async def test_an_unknown_commit_is_named_with_its_repository_and_what_to_do(
    git: Git, repo: Repo, repository: Repository, folders: Iterator[Path]
) -> None:
    repository.commit({"index.html": b"home"})
    for commit in ("c" * 40, "c" * 9):
        with pytest.raises(RepositoryError) as raised:
            await git.checkout(repo, commit, next(folders))
        assert raised.value.message == f"no commit {commit} in {repo.url}"
        assert raised.value.hint == "push it there, or build the branch instead"


async def test_a_shallow_cache_is_completed(
    git: Git, repo: Repo, repository: Repository, folders: Iterator[Path], tmp_path: Path
) -> None:
    first = repository.commit({"index.html": b"first"})
    repository.commit({"index.html": b"second"})
    await git.head(repo)
    clone = clone_of(tmp_path)
    shutil.rmtree(clone)
    repository.git(
        "clone", "--quiet", "--bare", "--depth=1", f"file://{repository.folder}", str(clone)
    )
    assert content(await git.checkout(repo, first, next(folders))) == b"first"
    assert not (clone / "shallow").exists()


async def test_a_server_whose_repository_is_shallow_gives_what_it_has(
    git: Git,
    repository: Repository,
    git_server: GitServer,
    folders: Iterator[Path],
) -> None:
    first = repository.commit({"index.html": b"first"})
    second = repository.commit({"index.html": b"second"})
    shallow = repository.folder.parent / "shallow"
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.folder}", str(shallow))
    repo = Repo(url=git_server.url("shallow/.git"), branch="main")
    for _ in range(2):
        assert await git.head(repo) == second
    assert content(await git.checkout(repo, second, next(folders))) == b"second"
    with pytest.raises(RepositoryError, match=f"no commit {first}"):
        await git.checkout(repo, first, next(folders))


def empty_head(clone: Path) -> None:
    (clone / "HEAD").write_bytes(b"")


def no_head(clone: Path) -> None:
    (clone / "HEAD").unlink()


def no_objects(clone: Path) -> None:
    shutil.rmtree(clone / "objects")


def empty_packs(clone: Path) -> None:
    for path in (clone / "objects").rglob("*.*"):
        path.chmod(0o600)
        path.write_bytes(b"")
    for path in (clone / "objects").glob("??/*"):
        path.chmod(0o600)
        path.write_bytes(b"")


def flipped_bytes(clone: Path) -> None:
    for path in [*(clone / "objects").rglob("*.pack"), *(clone / "objects").glob("??/*")]:
        path.chmod(0o600)
        data = bytearray(path.read_bytes())
        for at in range(12, len(data) - 20):
            data[at] ^= 0xFF
        path.write_bytes(data)


def damaged_blob(clone: Path) -> None:
    """All is there, but one file's content is not what it was."""
    (pack,) = (clone / "objects" / "pack").glob("*.pack")
    data = pack.read_bytes()
    for path in pack.parent.iterdir():
        path.unlink()
    git = ["git", "--git-dir", str(clone)]
    subprocess.run([*git, "unpack-objects", "-q"], input=data, check=True)
    blob = subprocess.run([*git, "rev-parse", "main:index.html"], check=True, capture_output=True)
    oid = blob.stdout.decode().strip()
    path = clone / "objects" / oid[:2] / oid[2:]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-5])


def stale_locks(clone: Path) -> None:
    for name in ("refs/heads/main.lock", "packed-refs.lock", "HEAD.lock", "config.lock"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()


@pytest.mark.parametrize(
    "damage",
    [empty_head, no_head, no_objects, empty_packs, flipped_bytes, damaged_blob, stale_locks],
    ids=lambda damage: damage.__name__,
)
@pytest.mark.parametrize("first", ["head", "checkout"])
async def test_a_damaged_cache_is_noticed_and_made_anew(
    git: Git,
    repo: Repo,
    repository: Repository,
    folders: Iterator[Path],
    tmp_path: Path,
    damage: Callable[[Path], None],
    first: str,
) -> None:
    old = repository.commit({"index.html": b"first"})
    await git.head(repo)
    damage(clone_of(tmp_path))
    new = repository.commit({"index.html": b"second"})
    if first == "head":
        assert await git.head(repo) == new
    assert content(await git.checkout(repo, old, next(folders))) == b"first"
    assert content(await git.checkout(repo, new, next(folders))) == b"second"
    assert await git.head(repo) == new


async def test_a_clone_that_broke_off_leaves_nothing_that_looks_like_one(
    git: Git, tmp_path: Path
) -> None:
    repo = Repo(url="https://127.0.0.1:1/docs.git", branch="main")
    for _ in range(2):
        with pytest.raises(RepositoryError, match="git clone failed"):
            await git.head(repo)
        (home,) = (tmp_path / "cache").iterdir()
        assert [path.name for path in home.iterdir()] == ["lock"]


async def test_a_server_that_hangs_is_given_up_on_and_no_git_is_left(
    make_git: Make, repo: Repo, git_server: GitServer
) -> None:
    git_server.go_on.clear()
    with pytest.raises(RepositoryError, match="git clone was ended: it took longer than 1 second"):
        await make_git(timeout_s=1.0).head(repo)
    assert [each for each in psutil.Process().children(recursive=True) if _is_git(each)] == []


def _is_git(process: psutil.Process) -> bool:
    try:
        return process.name().startswith("git") and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_server_that_wants_a_login_is_an_error_at_once_and_nobody_is_asked(
    git: Git, repo: Repo, git_server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    (home / ".gitconfig").write_text(f"[credential]\nhelper = !touch {tmp_path}/asked\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_ASKPASS", f"touch {tmp_path}/asked")
    monkeypatch.setenv("SSH_ASKPASS", f"touch {tmp_path}/asked")
    git_server.wants_login = True
    with pytest.raises(RepositoryError, match=r"git clone failed: .*could not read Username"):
        await git.head(repo)
    assert len(git_server.requests) == 1, "no password was tried"
    assert not (tmp_path / "asked").exists()


WORKER = """
import asyncio, json, sys
from pathlib import Path
from blackstart.builder.git import Git
from blackstart.model import Repo
from blackstart.repositories import RepositoryPolicy
cache, url, settings = sys.argv[1:]
git = Git(Path(cache), RepositoryPolicy(), settings=json.loads(settings))
print(asyncio.run(git.head(Repo(url=url, branch="main"))))
"""


async def test_a_worker_that_is_killed_in_a_clone_lets_go_of_the_lock_and_takes_git_with_it(
    make_git: Make,
    repo: Repo,
    repository: Repository,
    git_server: GitServer,
    tmp_path: Path,
    until: Any,
) -> None:
    commit = repository.commit({"index.html": b"home"})
    git_server.go_on.clear()
    line = [sys.executable, "-c", WORKER, str(tmp_path / "cache"), repo.url]
    with subprocess.Popen([*line, json.dumps(git_server.settings)]) as worker:  # noqa: ASYNC220
        await asyncio.to_thread(git_server.asked.wait)
        family = psutil.Process(worker.pid).children(recursive=True)
        assert any(_is_git(each) for each in family)
        worker.kill()
    await until(lambda: not any(each.is_running() and _is_git(each) for each in family))
    git_server.go_on.set()
    assert await make_git().head(repo) == commit
    assert sorted(path.name for path in clone_of(tmp_path).parent.iterdir()) == [
        "clone.git",
        "lock",
    ]


async def test_processes_that_fetch_at_the_same_time_do_not_disturb_each_other(
    make_git: Make, repo: Repo, repository: Repository, git_server: GitServer, tmp_path: Path
) -> None:
    repository.commit({"index.html": b"home"})
    await make_git().head(repo)
    commit = repository.commit({"index.html": b"second"})
    line = [sys.executable, "-c", WORKER, str(tmp_path / "cache"), repo.url]
    line.append(json.dumps(git_server.settings))
    workers = [subprocess.Popen(line, stdout=subprocess.PIPE) for _ in range(3)]  # noqa: ASYNC220
    said = [await asyncio.to_thread(worker.communicate) for worker in workers]
    assert [out.decode().strip() for out, _ in said] == [commit] * 3
