"""Tests of git as a source of commits, on real repositories."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blackstart.builder.git import Checkout, Git
from blackstart.errors import RepositoryError
from blackstart.model import Repo

if TYPE_CHECKING:
    from tests.conftest import Repository

URL = "https://git.example.org/docs.git"


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "site" / "checkout"
    folder.mkdir(parents=True)
    return folder


def content(checkout: Checkout) -> dict[str, bytes]:
    """Everything that lies in the checkout's folder."""
    return {
        str(path.relative_to(checkout.folder)): path.read_bytes()
        for path in checkout.folder.rglob("*")
        if not path.is_dir()
    }


async def test_exactly_the_commit_is_checked_out_and_not_the_head(
    git: Git, repository: Repository, folder: Path
) -> None:
    first = repository.commit({"index.html": b"first", "old/only.txt": b"old"})
    repository.commit({"index.html": b"second", "new.txt": b"new"})
    checkout = await git.checkout(repository.repo, first, folder)
    assert content(checkout) == {"index.html": b"first", "old/only.txt": b"old"}
    assert sorted(checkout.paths) == ["index.html", "old/only.txt"]
    assert (checkout.commit, checkout.skipped) == (first, [])


async def test_the_head_is_the_tip_of_the_branch_that_deploys(
    git: Git, repository: Repository
) -> None:
    main = repository.commit({"index.html": b"main"})
    repository.git("checkout", "--quiet", "-b", "other")
    other = repository.commit({"index.html": b"other"})
    assert await git.head(repository.repo) == main
    assert await git.head(Repo(url=repository.url, branch="other")) == other


async def test_a_bare_repository_and_a_file_address_are_read_as_well(
    git: Git, repository: Repository, folder: Path, tmp_path: Path
) -> None:
    commit = repository.commit({"index.html": b"home"})
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    repo = Repo(url=f"file://{tmp_path}/bare.git", branch="main")
    assert await git.head(repo) == commit
    assert content(await git.checkout(repo, commit, folder)) == {"index.html": b"home"}


async def test_what_is_not_committed_is_not_published(
    git: Git, repository: Repository, folder: Path
) -> None:
    commit = repository.commit({"index.html": b"home"})
    (repository.folder / "index.html").write_bytes(b"edited")
    (repository.folder / "secret.txt").write_bytes(b"secret")
    repository.git("add", "secret.txt")
    assert content(await git.checkout(repository.repo, commit, folder)) == {"index.html": b"home"}


async def test_links_and_submodules_are_skipped_and_the_log_can_say_so(
    git: Git, repository: Repository, folder: Path
) -> None:
    (repository.folder / "passwords").symlink_to("/etc/passwd")
    first = repository.commit({"index.html": b"home"})
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{first},lib/theirs")
    repository.git("commit", "--quiet", "--message=submodule")
    commit = repository.git("rev-parse", "HEAD")
    checkout = await git.checkout(repository.repo, commit, folder)
    assert content(checkout) == {"index.html": b"home"}
    assert checkout.paths == ["index.html"]
    assert checkout.skipped == [
        "lib/theirs: a submodule is not published",
        "passwords: a symbolic link is not published",
    ]


async def test_files_of_git_itself_are_never_published(
    git: Git, repository: Repository, folder: Path
) -> None:
    commit = repository.commit(
        {
            "index.html": b"home",
            ".gitignore": b"*.log",
            ".gitattributes": b"",
            ".github/workflows/ci.yml": b"",
            "sub/.gitkeep": b"",
            "ignored.log": b"committed all the same",
            "not.git": b"a file",
            ".well-known/id": b"a dot file",
        }
    )
    checkout = await git.checkout(repository.repo, commit, folder)
    assert sorted(checkout.paths) == [".well-known/id", "ignored.log", "index.html", "not.git"]
    assert sorted(content(checkout)) == sorted(checkout.paths)


async def test_no_filter_attribute_or_hook_changes_a_byte_or_runs(
    git: Git, repository: Repository, folder: Path, tmp_path: Path
) -> None:
    files = {
        "unix.txt": b"one\ntwo\n",
        "dos.txt": b"one\r\ntwo\r\n",
        "ident.txt": b"$Id$\n",
        "subst.txt": b"$Format:%H$\n",
        "loud.up": b"quiet",
        "utf16.txt": "text".encode("utf-16"),
        "binary.bin": bytes(range(256)),
        "run.sh": b"#!/bin/sh\n",
        "name with space, ü and \n newline": b"",
    }
    attributes = b"*.txt text eol=crlf ident export-subst\n*.up filter=up\n"
    repository.git("config", "core.autocrlf", "false")
    repository.commit(files)
    (repository.folder / ".gitattributes").write_bytes(attributes)
    repository.git("add", ".gitattributes")  # alone: the others stay as they were committed
    repository.git("commit", "--quiet", "--message=attributes")
    commit = repository.git("rev-parse", "HEAD")
    blobs = repository.git("ls-tree", "-r", "-z", commit)
    repository.git("config", "core.autocrlf", "true")
    ran = tmp_path / "ran"
    repository.git("config", "filter.up.smudge", f"touch {ran}; tr a-z A-Z")
    hook = repository.folder / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {ran}\n")
    hook.chmod(0o755)
    found = content(await git.checkout(repository.repo, commit, folder))
    assert found == {path: data for path, data in files.items() if path in found}
    assert set(found) == set(files)
    for data in found.values():
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        assert oid in blobs
    assert not ran.exists()


async def test_the_environment_of_a_hook_points_nowhere_else(
    git: Git,
    repository: Repository,
    make_repository: Callable[[str], Repository],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit = repository.commit({"index.html": b"home"})
    other = make_repository("other")
    other.commit({"index.html": b"other"})
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "nonsense")
    assert await git.head(repository.repo) == commit


async def test_an_unknown_commit_is_named_in_the_error(
    git: Git, repository: Repository, folder: Path
) -> None:
    repository.commit({"index.html": b"home"})
    with pytest.raises(RepositoryError, match=f"no commit {'c' * 40}"):
        await git.checkout(repository.repo, "c" * 40, folder)


async def test_an_object_that_is_no_commit_is_refused(
    git: Git, repository: Repository, folder: Path
) -> None:
    repository.commit({"index.html": b"home"})
    blob = repository.git("rev-parse", "HEAD:index.html")
    with pytest.raises(RepositoryError, match="no commit"):
        await git.checkout(repository.repo, blob, folder)


@pytest.mark.parametrize("commit", ["", "HEAD", "main", "c" * 39, "--help", "C" * 40, "-" * 40])
async def test_only_a_full_commit_id_names_a_commit(
    git: Git, repository: Repository, folder: Path, commit: str
) -> None:
    repository.commit({"index.html": b"home"})
    with pytest.raises(RepositoryError, match="not a full commit id"):
        await git.checkout(repository.repo, commit, folder)


async def test_a_branch_that_does_not_exist_is_named_in_the_error(
    git: Git, repository: Repository
) -> None:
    with pytest.raises(RepositoryError, match="no branch 'main' with a commit"):
        await git.head(repository.repo)
    repository.commit({"index.html": b"home"})
    with pytest.raises(RepositoryError, match="no branch 'trunk' with a commit"):
        await git.head(Repo(url=repository.url, branch="trunk"))


async def test_a_folder_that_is_no_repository_is_named_in_the_error(
    git: Git, tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    with pytest.raises(RepositoryError, match=f"{folder} is not a git repository"):
        await git.head(Repo(url=str(folder), branch="main"))
    with pytest.raises(RepositoryError, match="no such folder"):
        await git.head(Repo(url=str(tmp_path / "missing"), branch="main"))


async def test_a_folder_inside_a_repository_is_not_taken_for_the_repository(
    git: Git, repository: Repository
) -> None:
    repository.commit({"public/index.html": b"home", "secret.txt": b"secret"})
    with pytest.raises(RepositoryError, match="is not a git repository"):
        await git.head(Repo(url=str(repository.folder / "public"), branch="main"))


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c 'touch {ran}'",
        "--upload-pack=touch {ran}",
        "-u touch {ran}",
        "ssh://-oProxyCommand=touch {ran}/x",
        "https://-x/y",
        "file://relative",
        "git://example.org/x",
        "http://example.org/x",
        "host:path",
        "relative",
        "",
    ],
)
async def test_an_address_that_could_run_a_program_or_leads_nowhere_is_refused(
    git: Git, tmp_path: Path, url: str
) -> None:
    ran = tmp_path / "ran"
    with pytest.raises(RepositoryError, match="not a repository address"):
        await git.head(Repo(url=url.format(ran=ran), branch="main"))
    assert not ran.exists()
    assert not (tmp_path / "cache").exists()


def hash_tree(repository: Repository, *entries: tuple[bytes, str]) -> str:
    """A tree object that git itself would not make, as somebody hostile would."""
    data = b"".join(mode_and_name + b"\0" + bytes.fromhex(oid) for mode_and_name, oid in entries)
    return repository.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", stdin=data)


@pytest.mark.parametrize("name", [b"..", b"../escaped", b"/tmp/blackstart-escaped", b".", b"a//b"])
async def test_a_commit_can_write_nothing_outside_of_its_checkout(
    git: Git, repository: Repository, folder: Path, name: bytes
) -> None:
    repository.commit({"index.html": b"home"})
    blob = repository.git("rev-parse", "HEAD:index.html")
    if name == b"..":
        name, blob_tree = b"..", hash_tree(repository, (b"100644 escaped", blob))
        tree = hash_tree(repository, (b"40000 " + name, blob_tree))
    else:
        tree = hash_tree(repository, (b"100644 " + name, blob))
    commit = repository.git("commit-tree", tree, "-m", "hostile")
    with pytest.raises(RepositoryError, match="outside of the site"):
        await git.checkout(repository.repo, commit, folder)
    assert list(folder.parent.iterdir()) == [folder]
    assert list(folder.iterdir()) == []
    assert not Path("/tmp/blackstart-escaped").exists()


class Remote:
    """A repository that git finds under `URL`."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.repo = Repo(url=URL, branch="main")


@pytest.fixture
def remote(repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(f'[url "{repository.url}"]\n  insteadOf = {URL}\n')
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return Remote(repository)


async def test_an_address_is_cloned_once_and_then_read_from_the_cache(
    git: Git, remote: Remote, folder: Path, tmp_path: Path
) -> None:
    commit = remote.repository.commit({"index.html": b"home"})
    assert await git.head(remote.repo) == commit
    remote.repository.folder.rename(tmp_path / "away")
    checkout = await git.checkout(remote.repo, commit, folder)
    assert content(checkout) == {"index.html": b"home"}


async def test_workers_that_clone_at_the_same_time_share_one_whole_clone(
    git: Git, remote: Remote, tmp_path: Path
) -> None:
    commit = remote.repository.commit({"index.html": b"home"})
    heads = await asyncio.gather(*(git.head(remote.repo) for _ in range(4)))
    assert heads == [commit] * 4
    assert len(list((tmp_path / "cache").iterdir())) == 1


async def test_a_head_is_fetched_whenever_it_is_asked_for(git: Git, remote: Remote) -> None:
    remote.repository.commit({"index.html": b"first"})
    await git.head(remote.repo)
    second = remote.repository.commit({"index.html": b"second"})
    assert await git.head(remote.repo) == second


async def test_a_head_that_was_moved_back_is_fetched_as_well(git: Git, remote: Remote) -> None:
    first = remote.repository.commit({"index.html": b"first"})
    remote.repository.commit({"index.html": b"second"})
    await git.head(remote.repo)
    remote.repository.git("reset", "--quiet", "--hard", first)
    assert await git.head(remote.repo) == first


async def test_a_named_commit_that_is_newer_than_the_cache_is_fetched(
    git: Git, remote: Remote, folder: Path
) -> None:
    remote.repository.commit({"index.html": b"first"})
    await git.head(remote.repo)
    second = remote.repository.commit({"index.html": b"second"})
    checkout = await git.checkout(remote.repo, second, folder)
    assert content(checkout) == {"index.html": b"second"}


async def test_a_clone_that_broke_off_leaves_nothing_that_looks_like_one(
    git: Git, tmp_path: Path
) -> None:
    repo = Repo(url="https://127.0.0.1:1/docs.git", branch="main")
    for _ in range(2):
        with pytest.raises(RepositoryError, match="git clone failed"):
            await git.head(repo)
        assert list((tmp_path / "cache").iterdir()) == []
