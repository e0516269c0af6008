"""`blackstart build`: start, follow, repeat and call off builds through the control API."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blackstart.cli.api_options import Api, TokenFile, open_api
from blackstart.cli.tables import minute, plain, print_fields, print_json, print_table
from blackstart.errors import UsageError

if TYPE_CHECKING:
    from blackstart.cli.api_client import ApiClient

build = typer.Typer(
    name="build",
    rich_markup_mode="rich",
    help="Start, follow, repeat and call off builds, through the control API.",
)

SiteName = Annotated[str, typer.Argument(metavar="SITE", help="Its name or id.")]
BuildId = Annotated[str, typer.Argument(metavar="BUILD", help="Its id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Follow = Annotated[
    bool,
    typer.Option("--follow", "-f", help="Print the log until the build ends; 1 unless it is done."),
]


@build.command()
def start(
    name: SiteName,
    commit: Annotated[
        str | None,
        typer.Option(metavar="SHA", help="Exactly this commit: 7 or more hex digits."),
    ] = None,
    branch: Annotated[
        str | None, typer.Option(metavar="B", help="The head of this branch; the site's own.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="T", help="A note for people, kept with the build.")
    ] = None,
    follow_it: Follow = False,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
) -> None:
    """Build a site. The build's id is alone on stdout, unless its log follows."""
    _one_of(follow_it, as_json)
    body = {"commit_ref": _commit(commit), "branch": branch, "title": title}
    body = {key: value for key, value in body.items() if value is not None}
    with open_api(api, token_file) as client:
        _print_started(client, client.post("sites", name, "builds", body=body), follow_it, as_json)


@build.command()
def rerun(
    build_id: BuildId,
    follow_it: Follow = False,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
) -> None:
    """Build exactly the commit of an earlier build once more, as a new deploy."""
    _one_of(follow_it, as_json)
    with open_api(api, token_file) as client:
        _print_started(client, client.post("builds", build_id, "rerun"), follow_it, as_json)


@build.command("list")
def list_builds(
    name: SiteName,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="The newest N.")] = 50,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
) -> None:
    """List a site's builds, newest first."""
    with open_api(api, token_file) as client:
        builds = client.all("sites", name, "builds", limit=limit)
    if as_json:
        print_json(builds)
    elif not builds:
        print("There are no builds yet; start one with `blackstart build start`.", file=sys.stderr)
    else:
        columns = {
            "Id": False,
            "State": False,
            "Commit": False,
            "Branch": True,
            "Asked (UTC)": False,
        }
        print_table(columns, (_row(each) for each in builds))


@build.command()
def show(
    build_id: BuildId, as_json: AsJson = False, api: Api = None, token_file: TokenFile = None
) -> None:
    """Show one build."""
    with open_api(api, token_file) as client:
        found = client.get("builds", build_id)
    _print_build(found, as_json)


@build.command()
def log(
    build_id: BuildId, follow_it: Follow = False, api: Api = None, token_file: TokenFile = None
) -> None:
    """Print a build's log so far, or until it ends."""
    with open_api(api, token_file) as client:
        if follow_it:
            _follow(client, build_id)
        else:
            for line in client.text("builds", build_id, "log").splitlines():
                print(plain(line))


@build.command()
def cancel(
    build_id: BuildId, as_json: AsJson = False, api: Api = None, token_file: TokenFile = None
) -> None:
    """Call a build off. One that has ended stays as it is, and nothing is unpublished."""
    with open_api(api, token_file) as client:
        found = client.post("builds", build_id, "cancel")
    if as_json:
        print_json(found)
    else:
        print(f"build {found['id']} is {found['state']}", file=sys.stderr)


def _one_of(follow_it: bool, as_json: bool) -> None:
    if follow_it and as_json:
        raise UsageError("--follow prints a log, and --json one object", hint="leave one out")


def _commit(given: str | None) -> str | None:
    if given is None:
        return None
    if not re.fullmatch(r"[0-9a-f]{7,64}", given.lower()):
        raise UsageError(
            f"--commit wants 7 to 64 hex digits, not {given!r}",
            hint="`git rev-parse HEAD` prints those of the checked-out commit",
        )
    return given.lower()


def _row(each: dict[str, Any]) -> list[str]:
    commit = (each["commit_ref"] or "")[:7]
    return [each["id"], each["state"], commit, each["branch"], minute(each["created_at"])]


def _print_started(
    client: ApiClient, started: dict[str, Any], follow_it: bool, as_json: bool
) -> None:
    if as_json:
        print_json(started)
        return
    build_id = started["id"]
    commit = f" of commit {started['commit_ref'][:7]}" if started["commit_ref"] else ""
    line = f"build {build_id}{commit} is {started['state']}"
    if follow_it:
        _follow(client, build_id, line)
    else:
        print(line, file=sys.stderr, flush=True)
        print(build_id)


def _follow(client: ApiClient, build_id: str, first_line: str = "") -> None:
    """The first line is said in here: who has read it may press Ctrl-C."""
    try:
        if first_line:
            print(first_line, file=sys.stderr, flush=True)
        from blackstart.cli.build_follow import ensure_done, follow

        ensure_done(client, build_id, follow(client, build_id))
    except KeyboardInterrupt:
        print(f"build {build_id} is not called off; see `blackstart build cancel`", file=sys.stderr)
        raise


def _print_build(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_fields(
        {
            "build": found["id"],
            "state": found["state"],
            "error": found["error"],
            "site": found["site_id"],
            "commit": found["commit_ref"],
            "branch": found["branch"],
            "title": found["title"],
            "deploy": found["deploy_id"],
            "asked": minute(found["created_at"]),
            "started": minute(found["started_at"]),
            "ended": minute(found["ended_at"]),
        }
    )
