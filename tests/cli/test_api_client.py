"""The commands that ask the control API: what they say when it is not there or says no."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import FakeApi

Call = Callable[..., Any]
ID = "0123456789abcdef01234567"
NEVER_STARTED = [
    ["site", "create", "docs"],
    ["site", "list"],
    ["site", "show", "docs"],
    ["site", "delete", "docs"],
    ["build", "start", "docs"],
    ["build", "rerun", ID],
    ["build", "list", "docs"],
    ["build", "show", ID],
    ["build", "log", ID],
    ["build", "cancel", ID],
    ["hook", "create", "docs"],
    ["hook", "list", "docs"],
    ["hook", "delete", ID],
]


@pytest.mark.parametrize("arguments", NEVER_STARTED, ids=lambda each: " ".join(each[:2]))
def test_without_address_or_token_the_way_to_them_is_told(
    call: Call, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.delenv("BLACKSTART_API_URL", raising=False)
    monkeypatch.delenv("BLACKSTART_API_TOKEN", raising=False)
    nowhere = call(*arguments)
    assert (nowhere.code, nowhere.out) == (2, "")
    assert nowhere.err.startswith("error: BLACKSTART_API_URL is not set (`blackstart up` prints")
    nobody = call(*arguments, "--api", "http://127.0.0.1:1")
    assert (nobody.code, nobody.out) == (2, "")
    assert nobody.err.startswith("error: BLACKSTART_API_TOKEN is not set (`blackstart up` prints")


@pytest.mark.parametrize("arguments", NEVER_STARTED, ids=lambda each: " ".join(each[:2]))
def test_where_nobody_answers_the_address_is_named(
    call: Call, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setenv("BLACKSTART_API_TOKEN", "bst_test")
    done = call(*arguments, "--api", "http://127.0.0.1:1")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: nothing answers at http://127.0.0.1:1 (")
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:8000", "ftp://x", "http://", "http://x:99999", "http://me@x", "http://x?a", "x"],
)
def test_what_cannot_be_an_address_is_refused(call: Call, address: str) -> None:
    done = call("site", "list", "--api", address)
    assert (done.code, done.out) == (2, "")
    assert "not the address of a control API" in done.err


@pytest.mark.parametrize("more", ["", "/", "/api/v1", "/api/v1/"])
def test_the_address_may_name_the_prefix(call: Call, fake_api: FakeApi, more: str) -> None:
    fake_api.answer("GET /sites", [])
    assert call("site", "list", "--api", fake_api.url + more).code == 0
    assert fake_api.asked[0].startswith("GET /api/v1/sites?")


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "bad_request", 2),
        (422, "invalid_request", 2),
        (422, "repository", 1),
        (403, "forbidden", 1),
        (404, "not_found", 1),
        (409, "conflict", 1),
        (429, "rate_limited", 1),
        (503, "database", 1),
    ],
)
def test_a_problem_is_told_in_its_own_words(
    call: Call, fake_api: FakeApi, status: int, code: str, exit_code: int
) -> None:
    fake_api.refuse("GET /sites/docs", status, code, "it is so", "do that")
    done = call("site", "show", "docs")
    assert (done.code, done.out, done.err) == (exit_code, "", "error: it is so (do that)\n")


def test_a_token_that_is_not_valid_points_to_where_there_are_others(
    call: Call, fake_api: FakeApi
) -> None:
    fake_api.refuse("GET /sites/docs", 401, "unauthorized", "the token is revoked", "make one")
    done = call("site", "show", "docs")
    assert done.code == 1
    assert done.err == (
        "error: the token is revoked (make one; each start of `blackstart up` prints a new one)\n"
    )


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"<p>Nothing</p>"), (200, b"<p>A page</p>"), (502, b'["no"]'), (302, b"")],
)
def test_what_is_no_control_api_is_told_apart(
    call: Call, fake_api: FakeApi, status: int, body: bytes
) -> None:
    fake_api.answer("GET /sites/docs", body, status)
    done = call("site", "show", "docs")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(
        f"error: {fake_api.url} answered {status}, and not as a control API does (check"
    )


def test_the_token_comes_from_the_variable_or_a_file(
    call: Call, fake_api: FakeApi, tmp_path: Path
) -> None:
    fake_api.answer("GET /sites", [])
    (tmp_path / "token").write_text("bst_of_the_file\n")
    call("site", "list")
    call("site", "list", "--token-file", str(tmp_path / "token"))
    sent = [each["authorization"] for each in fake_api.fields]
    assert sent == ["Bearer bst_test", "Bearer bst_of_the_file"]
    missing = call("site", "list", "--token-file", str(tmp_path / "none"))
    assert (missing.code, missing.err.count("\n")) == (2, 1)
    assert "cannot read" in missing.err
    assert call("site", "list", "--token", "bst_test").code == 2


@pytest.mark.parametrize("token", ["two words", "naïve", "a\nb"])
def test_what_cannot_be_a_token_is_not_sent(
    call: Call, fake_api: FakeApi, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("BLACKSTART_API_TOKEN", token)
    done = call("site", "list")
    assert (done.code, fake_api.asked) == (2, [])
    assert token not in done.err


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_no_name_leads_to_another_route(call: Call, fake_api: FakeApi, name: str) -> None:
    done = call("site", "delete", name, "--yes")
    assert (done.code, fake_api.asked) == (2, [])
    assert "neither an id nor a name" in done.err


def test_a_name_is_quoted(call: Call, fake_api: FakeApi) -> None:
    call("site", "show", "a/b?c#d")
    assert fake_api.asked == ["GET /api/v1/sites/a%2Fb%3Fc%23d"]


def site(name: str) -> dict[str, Any]:
    deploy = {"number": 12, "published_at": "2017-02-02T15:50:59.123000Z"}
    return {"id": ID, "name": name, "plan": "enterprise", "published_deploy": deploy}


def test_a_list_has_all_pages_and_fits_in_80_columns(call: Call, fake_api: FakeApi) -> None:
    fake_api.answer("GET /sites", [site("a" * 63)], link='</api/v1/sites?page=2>; rel="next"')
    fake_api.answer("GET /sites", [site("last")], link='</api/v1/sites?page=1>; rel="first"')
    fake_api.answer("GET /sites", [site("one"), site("two")])
    done = call("site", "list")
    assert [each.partition("?")[2] for each in fake_api.asked] == [
        "page=1&per_page=100",
        "page=2&per_page=100",
    ]
    assert max(len(line) for line in done.out.splitlines()) <= 80
    assert done.out.count(ID) == 2
    assert "last" in done.out
    assert "#12" in done.out
    assert "2017-02-02 15:50" in done.out
    assert [each["name"] for each in json.loads(call("site", "list", "--json").out)] == [
        "one",
        "two",
    ]


def test_an_invalid_build_is_listed_and_shown_with_what_is_known(
    call: Call, fake_api: FakeApi
) -> None:
    unknown = dict.fromkeys(
        ("commit_ref", "branch", "title", "deploy_id", "created_at", "started_at", "ended_at")
    )
    invalid = {"id": ID, "site_id": "s", "state": "invalid", "error": "due_at: no date", **unknown}
    fake_api.answer("GET /sites/docs/builds", [invalid])
    fake_api.answer(f"GET /builds/{ID}", invalid)
    listed = call("build", "list", "docs")
    assert (listed.code, "invalid" in listed.out) == (0, True)
    shown = call("build", "show", ID)
    assert (shown.code, "due_at: no date" in shown.out) == (0, True)


def test_builds_and_hooks_fit_in_80_columns_and_steer_no_terminal(
    call: Call, fake_api: FakeApi
) -> None:
    made = "2017-02-02T15:50:59Z"
    built = {"id": ID, "state": "cancelled", "commit_ref": "0" * 40, "created_at": made}
    fake_api.answer("GET /sites/docs/builds", [{**built, "branch": "b" * 200}] * 3)
    builds = call("build", "list", "docs", "--limit", "2")
    assert builds.out.count(ID) == 2
    hooked = {"id": ID, "title": "[red]\x1b[2J" + "t" * 190, "branch": "b" * 200}
    fake_api.answer("GET /sites/docs/build_hooks", [{**hooked, "signed": True, "created_at": made}])
    hooks = call("hook", "list", "docs")
    assert "[red]" in hooks.out
    for done in (builds, hooks):
        assert done.code == 0
        assert "\x1b" not in done.out
        assert "2017-02-02 15:50" in done.out
        assert max(len(line) for line in done.out.splitlines()) <= 80


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["site", "list"], "/sites"),
        (["build", "list", "docs"], "/sites/docs/builds"),
        (["hook", "list", "docs"], "/sites/docs/build_hooks"),
    ],
)
def test_an_empty_list_says_how_to_fill_it(
    call: Call, fake_api: FakeApi, arguments: list[str], path: str
) -> None:
    fake_api.answer(f"GET {path}", [])
    done = call(*arguments)
    assert (done.code, done.out) == (0, "")
    assert f"with `blackstart {arguments[0]}" in done.err
    assert call(*arguments, "--json").out == "[]\n"


def test_a_folder_is_sent_as_an_absolute_path_and_nothing_else_is(
    call: Call, fake_api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_api.refuse("POST /sites", 409, "conflict", "taken")
    monkeypatch.chdir(tmp_path)
    for repo in (".", "https://example.org/docs.git", "../missing"):
        call("site", "create", "docs", "--repo", repo)
    sent = [json.loads(body)["repo_url"] for body in fake_api.bodies]
    assert sent == [str(tmp_path), "https://example.org/docs.git", "../missing"]


@pytest.mark.parametrize("commit", ["HEAD", "abcdef", "0" * 65, "main~1"])
def test_a_commit_is_named_by_its_digits(call: Call, fake_api: FakeApi, commit: str) -> None:
    done = call("build", "start", "docs", "--commit", commit)
    assert (done.code, fake_api.asked) == (2, [])
    assert "git rev-parse HEAD" in done.err


def test_log_and_object_do_not_mix(call: Call, fake_api: FakeApi) -> None:
    for arguments in (["start", "docs"], ["rerun", ID]):
        assert call("build", *arguments, "--follow", "--json").code == 2
    assert fake_api.asked == []


def test_without_following_the_id_is_alone_on_stdout(call: Call, fake_api: FakeApi) -> None:
    fake_api.answer("POST /sites/docs/builds", {"id": ID, "commit_ref": None, "state": "queued"})
    done = call("build", "start", "docs", "--title", "a note")
    assert (done.code, done.out, done.err) == (0, f"{ID}\n", f"build {ID} is queued\n")
    assert json.loads(fake_api.bodies[0]) == {"title": "a note"}


def test_deleting_needs_a_yes(call: Call, fake_api: FakeApi) -> None:
    fake_api.answer("GET /sites/docs", site("docs"))
    fake_api.answer(f"GET /build_hooks/{ID}", {"id": ID, "title": "t", "site_id": "s"})
    for arguments in (["site", "delete", "docs"], ["hook", "delete", ID]):
        done = call(*arguments)
        assert done.code == 0
        assert "would be deleted" in done.out
        assert "--yes" in done.err
    assert all(each.startswith("GET ") for each in fake_api.asked)
    fake_api.answer(f"DELETE /sites/{ID}", b"", 204)
    assert call("site", "delete", "docs", "--yes").code == 0
    assert fake_api.asked[-1] == f"DELETE /api/v1/sites/{ID}"
