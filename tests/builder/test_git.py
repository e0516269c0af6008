"""Tests of git as a source of commits, on real repositories."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blackstart.builder.git import Checkout, Git, source
from blackstart.errors import RepositoryError
from blackstart.model import Repo
from blackstart.repositories import RepositoryPolicy

if TYPE_CHECKING:
    from tests.conftest import Repository


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(tmp_path / "cache", RepositoryPolicy([tmp_path]))


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


async def test_submodules_and_links_to_the_outside_are_skipped_and_the_log_can_say_so(
    git: Git, repository: Repository, folder: Path
) -> None:
    for name, target in {
        "passwords": "/etc/passwd",
        "above": "../secret",
        "through": "above/x",
        "detour": "../checkout/index.html",
        "loop": "loop",
        "deep/sly": "er/up/../../secret",
        "deep/er/up": "..",
        "safe": "deep/er/up/er/up/../index.html",
    }.items():
        (repository.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (repository.folder / name).symlink_to(target)
    first = repository.commit({"index.html": b"home"})
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{first},lib/theirs")
    repository.git("commit", "--quiet", "--message=submodule")
    commit = repository.git("rev-parse", "HEAD")
    (folder.parent / "secret").write_bytes(b"secret")
    checkout = await git.checkout(repository.repo, commit, folder)
    assert checkout.paths == ["deep/er/up", "index.html", "safe"]
    assert (folder / "safe").read_bytes() == b"home"
    assert checkout.skipped == [
        "above: a symbolic link that leads out of the site",
        "deep/sly: a symbolic link that leads out of the site",
        "detour: a symbolic link that leads out of the site",
        "lib/theirs: a submodule is not published",
        "loop: a symbolic link that leads in a circle",
        "passwords: a symbolic link that leads out of the site",
        "through: a symbolic link that leads out of the site",
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


@pytest.mark.parametrize("commit", ["", "HEAD", "main", "c" * 6, "--help", "C" * 40, "c" * 65])
async def test_only_an_id_names_a_commit(
    git: Git, repository: Repository, folder: Path, commit: str
) -> None:
    repository.commit({"index.html": b"home"})
    with pytest.raises(RepositoryError, match="not a commit id"):
        await git.checkout(repository.repo, commit, folder)


async def test_the_beginning_of_an_id_finds_its_commit_and_no_branch_of_that_name(
    git: Git, repository: Repository, folder: Path
) -> None:
    first = repository.commit({"index.html": b"first"})
    repository.commit({"index.html": b"second"})
    repository.git("branch", first[:9])
    repository.git("branch", "--force", first[:9], "HEAD")
    checkout = await git.checkout(repository.repo, first[:9], folder)
    assert checkout.commit == first
    assert content(checkout) == {"index.html": b"first"}


async def test_the_beginning_of_an_id_that_two_commits_share_is_refused(
    git: Git, repository: Repository, folder: Path
) -> None:
    """Two commits with the same first digits, made by trying: 2 of a few ten thousand share 7."""
    repository.commit({"index.html": b"home"})
    tree = repository.git("rev-parse", "HEAD^{tree}")
    seen: dict[str, bytes] = {}
    for number in range(200_000):
        data = (
            f"tree {tree}\nauthor A <a@example.org> {number} +0000\n"
            f"committer A <a@example.org> {number} +0000\n\nwork\n"
        ).encode()
        digest = hashlib.sha1(b"commit %d\0" % len(data) + data).hexdigest()
        if digest[:7] in seen:
            break
        seen[digest[:7]] = data
    for each in (data, seen[digest[:7]]):
        repository.git("hash-object", "-w", "-t", "commit", "--stdin", stdin=each)
    with pytest.raises(RepositoryError, match=f"2 commits begin with {digest[:7]}"):
        await git.checkout(repository.repo, digest[:7], folder)
    assert (await git.checkout(repository.repo, digest, folder)).commit == digest


async def test_a_shallow_clone_gives_the_commits_that_it_has_and_says_how_to_get_the_others(
    git: Git, repository: Repository, folder: Path, tmp_path: Path
) -> None:
    first = repository.commit({"index.html": b"first"})
    second = repository.commit({"index.html": b"second"})
    shallow = tmp_path / "shallow"
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.folder}", str(shallow))
    repo = Repo(url=str(shallow), branch="main")
    assert content(await git.checkout(repo, second, folder)) == {"index.html": b"second"}
    with pytest.raises(RepositoryError, match=f"no commit {first} in {shallow}.*--unshallow"):
        await git.checkout(repo, first, folder)


async def test_a_repository_whose_objects_are_damaged_is_told_from_one_without_the_commit(
    git: Git, repository: Repository, folder: Path
) -> None:
    commit = repository.commit({"index.html": b"home", "sub/a": b"a"})
    for name, reason in (("HEAD:index.html", "object"), ("HEAD:sub", "all folders of commit")):
        oid = repository.git("rev-parse", name)
        (repository.folder / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
        with pytest.raises(RepositoryError, match=f"git cannot read {reason}"):
            await git.checkout(repository.repo, commit, folder)


async def test_a_repository_that_goes_away_during_the_build_is_said_to_have_gone(
    git: Git,
    repository: Repository,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commit = repository.commit({"index.html": b"home"})
    git_dir = source.local_git_dir

    def then_take_it_away(path: Path) -> Path:
        found = git_dir(path)
        repository.folder.rename(tmp_path / "away")
        return found

    monkeypatch.setattr(source, "local_git_dir", then_take_it_away)
    with pytest.raises(RepositoryError, match=f"{repository.url} went away during the build"):
        await git.checkout(repository.repo, commit, folder)


async def test_the_address_is_judged_again_each_time_git_runs(
    repository: Repository, make_repository: Callable[[str], Repository], tmp_path: Path
) -> None:
    repository.commit({"index.html": b"home"})
    secret = make_repository("secret")
    secret.commit({"index.html": b"secret"})
    allowed = tmp_path / "allowed"
    repository.folder.parent.joinpath("docs").rename(allowed)
    git = Git(tmp_path / "cache", RepositoryPolicy([allowed]))
    repo = Repo(url=str(allowed / "sub"), branch="main")
    (allowed / "sub").mkdir()
    (allowed / "sub" / ".git").write_text(f"gitdir: {secret.folder}/.git\n")
    with pytest.raises(RepositoryError, match="not below a folder that repositories may be in"):
        await git.head(repo)
    (allowed / "sub" / ".git").unlink()
    (allowed / "sub").rmdir()
    (allowed / "sub").symlink_to(secret.folder)
    with pytest.raises(RepositoryError, match="not below a folder that repositories may be in"):
        await git.head(repo)


async def test_a_repository_s_own_settings_start_no_program(
    git: Git, repository: Repository, folder: Path, tmp_path: Path
) -> None:
    commit = repository.commit({"index.html": b"home"})
    ran = tmp_path / "ran"
    touch = f"touch {ran}; false"
    for key, value in {
        "core.fsmonitor": touch,
        "core.sshCommand": touch,
        "core.pager": touch,
        "core.alternateRefsCommand": touch,
        "extensions.partialClone": "origin",
        "remote.origin.promisor": "true",
        "remote.origin.url": "ssh://host.invalid/x",
        "remote.origin.uploadpack": touch,
        "core.repositoryformatversion": "1",
    }.items():
        repository.git("config", key, value)
    oid = repository.git("rev-parse", "HEAD:index.html")
    (repository.folder / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
    for url in ("ssh://host.invalid/x", str(tmp_path), "ext::touch " + str(ran)):
        repository.git("config", "remote.origin.url", url)
        with pytest.raises(RepositoryError, match="git cannot read object"):
            await git.checkout(repository.repo, commit, folder)
        folder = tmp_path / f"checkout-{len(url)}"
        folder.mkdir()
    assert not ran.exists()


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
