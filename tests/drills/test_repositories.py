"""Repositories of a fleet are real ones, and the user's own are read wherever they are."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blackstart.builder.git import Git, read_blobs
from blackstart.drills.world.content import git_blob_id
from blackstart.drills.world.fleet import Fleet, plan_fleet
from blackstart.drills.world.repositories import (
    USER_COMMITS,
    make_repository,
    move_branch,
    read_user_repository,
)
from blackstart.errors import UsageError
from blackstart.model import Repo
from blackstart.repositories import RepositoryPolicy
from blackstart.seed import Seed

if TYPE_CHECKING:
    from tests.conftest import Repository

START_S = 1_486_000_000.0
FIRST = {"index.html": b"first", "old.txt": b"gone soon"}
FILES = {
    "index.html": b"<h1>home</h1>\n",
    "css/site.css": b"body {}\r\n",
    "a deep/folder/with space.txt": b"space",
    "gr\u00f6\u00dfe/\u65e5\u672c.txt": "\u65e5\u672c".encode(),
    "image.bin": bytes(range(256)) * 4,
    "empty": b"",
    ".well-known/id": b"1",
}
NEVER_PUBLISHED = {".gitignore": b"*.log\n", ".github/ci.yml": b"on: push\n"}

Shape = Callable[["Repository", Path], Path]


def git(folder: Path, *arguments: str) -> str:
    """What git says about a repository, told nothing but its folder."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        check=True,
        env={**clean, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
    )
    return done.stdout.decode().strip()


def fill(repository: Repository) -> None:
    """Two commits; the newest has a link that is not published."""
    repository.commit(FIRST)
    (repository.folder / "old.txt").unlink()
    (repository.folder / "link").symlink_to("/etc/passwd")
    repository.commit({**FILES, **NEVER_PUBLISHED})


@pytest.fixture
def repository(repository: Repository) -> Repository:
    fill(repository)
    return repository


def work_tree(repository: Repository, _: Path) -> Path:
    return repository.folder


def bare(repository: Repository, folder: Path) -> Path:
    repository.git("clone", "--quiet", "--bare", ".", str(folder / "bare.git"))
    return folder / "bare.git"


def git_folder_itself(repository: Repository, _: Path) -> Path:
    return repository.folder / ".git"


def detached_head(repository: Repository, _: Path) -> Path:
    repository.git("checkout", "--quiet", "--detach")
    return repository.folder


def linked_work_tree(repository: Repository, folder: Path) -> Path:
    repository.git("worktree", "add", "--quiet", "--detach", str(folder / "linked"))
    return folder / "linked"


def shallow_clone(repository: Repository, folder: Path) -> Path:
    source = f"file://{repository.folder}"
    repository.git("clone", "--quiet", "--depth=1", source, str(folder / "shallow"))
    return folder / "shallow"


def borrowing_clone(repository: Repository, folder: Path) -> Path:
    repository.git("clone", "--quiet", "--shared", ".", str(folder / "borrows"))
    return folder / "borrows"


def git_folder_elsewhere(repository: Repository, folder: Path) -> Path:
    elsewhere = f"--separate-git-dir={folder / 'elsewhere'}"
    repository.git("clone", "--quiet", elsewhere, ".", str(folder / "apart"))
    return folder / "apart"


def packed(repository: Repository, _: Path) -> Path:
    repository.git("gc", "--quiet")
    return repository.folder


def odd_name(repository: Repository, folder: Path) -> Path:
    target = folder / "with space" / "gr\u00f6\u00dfe \u65e5\u672c #1"
    target.parent.mkdir()
    return repository.folder.rename(target)


def sha256(repository: Repository, folder: Path) -> Path:
    other = type(repository)(folder / "other")
    (other.folder / ".git").rename(folder / "first try")
    other.git("init", "--quiet", "--initial-branch=main", "--object-format=sha256")
    fill(other)
    return other.folder


SHAPES = [
    work_tree,
    bare,
    git_folder_itself,
    detached_head,
    linked_work_tree,
    shallow_clone,
    borrowing_clone,
    git_folder_elsewhere,
    packed,
    odd_name,
    sha256,
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_a_repository_of_any_shape_is_read_and_can_be_built_from(
    repository: Repository, shape: Shape, tmp_path: Path
) -> None:
    folder = shape(repository, tmp_path)
    user = read_user_repository(str(folder))
    newest = user.commits[-1]
    assert newest.id == git(folder, "rev-parse", "HEAD")
    wide = user.object_format == "sha256"
    assert newest.files == {path: git_blob_id(data, sha256=wide) for path, data in FILES.items()}
    if shape is not shallow_clone:
        assert [sorted(commit.files) for commit in user.commits[:-1]] == [sorted(FIRST)]

    borrowed = tmp_path / "borrowed.git"
    make_repository(borrowed, user.objects, newest.id, user.object_format)
    assert _content(borrowed, newest.files) == FILES
    source = Git(tmp_path / "cache", RepositoryPolicy([tmp_path]))
    repo = Repo(url=str(borrowed), branch="main")
    assert await source.head(repo) == newest.id
    checkout = await source.checkout(repo, newest.id, tmp_path / "checkout")
    assert sorted(checkout.paths) == sorted(FILES)


def _content(folder: Path, files: Mapping[str, str]) -> dict[str, bytes]:
    return dict(zip(files, read_blobs(folder, list(files.values())), strict=True))


def test_the_newest_commits_of_the_main_line_are_taken_oldest_first(
    repository: Repository,
) -> None:
    commits = [repository.commit({"index.html": b"%d" % number}) for number in range(5)]
    repository.git("checkout", "--quiet", "-b", "side", commits[0])
    repository.commit({"side.html": b"side"})
    repository.git("checkout", "--quiet", "main")
    repository.git("merge", "--quiet", "--no-edit", "side")
    merge = repository.git("rev-parse", "HEAD")
    user = read_user_repository(repository.url)
    assert USER_COMMITS == 3
    assert [commit.id for commit in user.commits] == [commits[3], commits[4], merge]


def test_a_publish_folder_and_links_are_read_as_the_builder_reads_them(
    repository: Repository,
) -> None:
    (repository.folder / "dist").mkdir()
    (repository.folder / "dist" / "latest").symlink_to("../css/site.css")
    repository.commit({"dist/index.html": b"built", "netlify.toml": b"[build]\npublish = 'dist'"})
    user = read_user_repository(repository.url)
    assert user.commits[-1].files == {
        "index.html": git_blob_id(b"built", sha256=False),
        "latest": git_blob_id(FILES["css/site.css"], sha256=False),
    }
    assert sorted(user.commits[-2].files) == sorted(FILES)


def test_reading_a_repository_leaves_it_as_it_was(repository: Repository) -> None:
    before = fingerprint(repository.folder)
    read_user_repository(repository.url)
    assert fingerprint(repository.folder) == before


def fingerprint(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Path -> mode, time of the last change, and digest, of everything in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        digest = ""
        if path.is_symlink():
            digest = os.readlink(path)
        elif path.is_file():
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = (stat.st_mode, stat.st_mtime_ns, digest)
    return found


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("docs", "docs"),
        ("My Site.git", "my-site"),
        ("gr\u00f6\u00dfe", "gr-e"),
        ("--x--", "x"),
        ("\u65e5\u672c", "repository"),
        ("n" * 70, "n" * 40),
    ],
)
def test_a_folders_name_becomes_a_host_name(
    make_repository: Callable[[str], Repository], name: str, label: str
) -> None:
    repository = make_repository(name)
    repository.commit({"index.html": b"home"})
    assert read_user_repository(repository.url).name == label


# --- What is none ---


def nothing(tmp_path: Path, _: Repository) -> Path:
    return tmp_path / "missing"


def a_file(tmp_path: Path, _: Repository) -> Path:
    (tmp_path / "file").write_text("text")
    return tmp_path / "file"


def an_empty_folder(tmp_path: Path, _: Repository) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def no_commit(_: Path, repository: Repository) -> Path:
    return repository.folder


def an_empty_commit(_: Path, repository: Repository) -> Path:
    repository.commit({})
    return repository.folder


def only_files_of_git(_: Path, repository: Repository) -> Path:
    repository.commit(NEVER_PUBLISHED)
    return repository.folder


def a_publish_folder_that_only_a_command_makes(_: Path, repository: Repository) -> Path:
    config = b"[build]\ncommand = 'make'\npublish = 'dist'"
    repository.commit({"index.html": b"home", "netlify.toml": config})
    return repository.folder


def a_folder_inside(_: Path, repository: Repository) -> Path:
    repository.commit({"sub/index.html": b"home"})
    return repository.folder / "sub"


def a_lost_commit(_: Path, repository: Repository) -> Path:
    commit = repository.commit({"index.html": b"home"})
    (repository.folder / ".git" / "objects" / commit[:2] / commit[2:]).unlink()
    return repository.folder


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (nothing, "no such folder"),
        (a_file, "no such folder"),
        (an_empty_folder, "not a git repository"),
        (no_commit, "no readable commit"),
        (an_empty_commit, "no file to publish"),
        (only_files_of_git, "no file to publish"),
        (a_publish_folder_that_only_a_command_makes, "runs no build command"),
        (a_folder_inside, "a folder inside one"),
        (a_lost_commit, "no readable commit"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_cannot_be_drilled_is_refused_in_one_line_that_names_it(
    make_repository: Callable[[str], Repository],
    tmp_path: Path,
    case: Callable[[Path, Repository], Path],
    reason: str,
) -> None:
    path = case(tmp_path, make_repository("new"))
    with pytest.raises(UsageError) as refused:
        read_user_repository(str(path))
    assert str(refused.value).startswith(f"--repo {path}: ")
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


# --- The fleet's own ---


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    fleet = plan_fleet(20, Seed(1), tmp_path / "fleet", [])
    fleet.make_repositories(START_S)
    return fleet


def test_git_finds_no_fault_with_a_fleets_repositories(fleet: Fleet) -> None:
    for folder in (fleet.folder / "shared.git", fleet.sites[0].repository):
        assert git(folder, "fsck", "--strict", "--no-dangling") == ""
        assert git(folder, "rev-parse", "--is-bare-repository") == "true"


def test_each_site_has_its_own_history_up_to_what_was_deployed(fleet: Fleet) -> None:
    for site in fleet.sites[:3]:
        log = git(site.repository, "log", "--reverse", "--format=%H %s", "main").splitlines()
        assert log == [
            f"{site.commit(index).id} Revision {index + 1}" for index in range(site.deployed)
        ]


def test_what_the_oracle_knows_of_a_commit_is_what_git_says(fleet: Fleet) -> None:
    site = fleet.sites[0]
    for index in range(len(site.revisions)):
        commit = site.commit(index)
        listed = git(site.repository, "ls-tree", "-r", commit.id).splitlines()
        said = {line.partition("\t")[2]: line.split()[2] for line in listed}
        assert said == commit.files
        assert fleet.commits[commit.id] is commit


def test_a_push_moves_the_branch_and_nothing_else(fleet: Fleet) -> None:
    site = fleet.sites[0]
    waiting = site.commit(site.deployed)
    before = fingerprint(site.repository)
    move_branch(site.repository, waiting.id)
    assert git(site.repository, "rev-parse", "main") == waiting.id
    assert git(site.repository, "fsck", "--no-dangling") == ""
    after = fingerprint(site.repository)
    changed = {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    assert changed - {"refs/heads"} == {"refs/heads/main"}


def test_the_same_seed_gives_the_same_commits(fleet: Fleet, tmp_path: Path) -> None:
    again = plan_fleet(20, Seed(1), tmp_path / "again", [])
    again.make_repositories(START_S)
    other = plan_fleet(20, Seed(2), tmp_path / "other", [])
    other.make_repositories(START_S)
    assert list(again.commits) == list(fleet.commits)
    assert not set(other.commits) & set(fleet.commits)
