"""Tests of which repository addresses are taken."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstart.errors import UsageError
from blackstart.repositories import MAX_LENGTH, RepositoryPolicy
from blackstart.settings import Settings, load


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/docs.git",
        "https://example.org:8443/a/b/docs.git/",
        "https://[::1]/docs.git",
        "https://127.0.0.1/~me/docs",
        "HTTPS://Example.org/docs",
        "ssh://git@example.org/a/docs.git",
        "ssh://example.org:2222/~/docs.git",
    ],
)
def test_https_and_ssh_addresses_are_taken(url: str) -> None:
    RepositoryPolicy().check(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "1 to 2000 characters"),
        ("https://example.org/" + "x" * MAX_LENGTH, "1 to 2000 characters"),
        ("ext::sh -c 'touch ran'", "may run a program"),
        ("EXT::sh", "may run a program"),
        ("fd::7", "may run a program"),
        ("git://example.org/docs", "write https://example.org/docs"),
        ("http://example.org/docs", "write https://example.org/docs"),
        ("ftp://example.org/docs", "use https://HOST/PATH, ssh://USER@HOST/PATH"),
        ("--upload-pack=touch ran", "git would take it for an option"),
        ("-u", "git would take it for an option"),
        ("ssh://-oProxyCommand=x/y", "no such form is known"),
        ("ssh://-l@example.org/y", "no such form is known"),
        ("ssh://me@-example.org/y", "no such form is known"),
        ("https://-x/y", "no such form is known"),
        ("https://example.org", "no such form is known"),
        ("https://example.org/-x/y", "starts with '-'"),
        ("ssh://example.org/a/--x", "starts with '-'"),
        ("https://example.org/%2dx", "starts with '-'"),
        ("https://example.org/a/../b", "has '..'"),
        ("https://example.org/a/%2e%2E/b", "has '..'"),
        ("https://example.org/a/./b", "has '.'"),
        ("https://example.org/a%00b", "control character"),
        ("https://example.org/a%0ab", "control character"),
        ("https://example.org/a b", "no such form is known"),
        ("https://example.org/a?b=c", "its path has one of"),
        ("https://example.org/a#b", "its path has one of"),
        ("https://example.org\\@evil.test/a", "holds a login"),
        ("https://example.org/\u00fc", "no such form is known"),
        ("https://example.org/a\nb", "control character"),
        ("https://example.org/a\x1b[31m", "control character"),
        ("git@example.org:me/docs.git", "write ssh://git@example.org/me/docs.git"),
        ("example.org:docs", "write ssh://example.org/docs"),
        ("me@example.org:-x", "relative"),
        ("docs", "relative"),
        ("../docs", "relative"),
        ("./docs", "relative"),
        ("~/docs", "relative"),
        ("file://docs", "no such form is known"),
        ("file://host/docs", "no such form is known"),
    ],
)
def test_every_other_form_is_refused_with_a_hint(url: str, reason: str) -> None:
    with pytest.raises(UsageError) as refused:
        RepositoryPolicy([Path("/")]).check(url)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize(
    "url",
    [
        "https://me:hunter2@example.org/docs",
        "https://hunter2@example.org/docs",
        "ssh://me:hunter2@example.org/docs",
        "http://me:hunter2@example.org/docs",
        "ftp://me:hunter2@example.org/docs",
    ],
)
def test_a_login_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UsageError, match="it holds a login") as refused:
        RepositoryPolicy().check(url)
    assert "hunter2" not in str(refused.value)


def test_folders_are_taken_only_below_those_that_are_allowed(tmp_path: Path) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "allowed-not"
    for folder in (allowed / "docs", other):
        folder.mkdir(parents=True)
    policy = RepositoryPolicy([allowed])
    for url in (str(allowed), f"{allowed}/docs", f"file://{allowed}/docs", f"{allowed}/to/come"):
        policy.check(url)
    for url in (str(other), f"file://{other}", "/", str(tmp_path)):
        with pytest.raises(UsageError, match="not below a folder that repositories may be in"):
            policy.check(url)
    for url in (f"{allowed}/../allowed-not", f"{allowed}/./docs", f"{allowed}/-docs"):
        with pytest.raises(UsageError, match="its path"):
            policy.check(url)
    with pytest.raises(UsageError, match="BLACKSTART_REPO_FOLDERS"):
        RepositoryPolicy().check(f"{allowed}/docs")
    RepositoryPolicy([Path("/")]).check(str(other))


def test_a_link_is_judged_by_where_it_leads(tmp_path: Path) -> None:
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    (allowed / "docs").mkdir(parents=True)
    other.mkdir()
    (allowed / "out").symlink_to(other)
    (allowed / "circle").symlink_to("circle")
    (other / "in").symlink_to(allowed / "docs")
    (tmp_path / "alias").symlink_to(allowed)
    policy = RepositoryPolicy([allowed])
    assert policy.local_folder(str(other / "in")) == (allowed / "docs").resolve()
    assert RepositoryPolicy([tmp_path / "alias"]).local_folder(str(allowed / "docs"))
    for url in (f"{allowed}/out", f"{allowed}/out/x", f"{allowed}/circle"):
        with pytest.raises(UsageError):
            policy.check(url)


@given(st.text(max_size=40) | st.text("https:/.-@%2ea[]\\ \n", max_size=40).map("https://".__add__))
def test_no_address_makes_the_judgement_fail(url: str) -> None:
    try:
        folder = RepositoryPolicy([Path("/srv")]).local_folder(url)
    except UsageError as error:
        assert error.message.startswith("not a repository address")
        return
    assert folder is None or folder.is_relative_to("/srv")


def test_the_folders_come_from_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().repo_folders == []
    monkeypatch.setenv("BLACKSTART_REPO_FOLDERS", "/srv/git, /home/me")
    assert load(Settings).repo_folders == [Path("/srv/git"), Path("/home/me")]
    load(Settings).repository_policy().check("/srv/git/docs")
    monkeypatch.setenv("BLACKSTART_REPO_FOLDERS", "srv/git")
    with pytest.raises(UsageError, match=r"BLACKSTART_REPO_FOLDERS.*: not an absolute folder"):
        load(Settings)
