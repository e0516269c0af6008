"""`blackstart site`: make, list, show and delete sites through the control API."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from blackstart.cli.api_options import Api, TokenFile, open_api
from blackstart.cli.tables import minute, print_fields, print_json, print_table

site = typer.Typer(
    name="site",
    rich_markup_mode="rich",
    help="Make, list, show and delete sites, through the control API.",
)

SiteName = Annotated[str, typer.Argument(metavar="SITE", help="Its name or id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@site.command()
def create(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Becomes its host name: NAME.localhost.")
    ],
    plan: Annotated[
        str, typer.Option(metavar="free|pro|global|enterprise", help="Its place in every queue.")
    ] = "free",
    repo: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="What it is built from: https, ssh or a folder.", show_default=False
        ),
    ] = None,
    branch: Annotated[
        str, typer.Option(metavar="B", help="The branch that visitors are to see.")
    ] = "main",
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
) -> None:
    """Make a site. Without --repo it takes deploys of files only."""
    body = {"name": name, "plan": plan, "branch": branch}
    if repo is not None:
        body["repo_url"] = _address_of(repo)
    with open_api(api, token_file) as client:
        made = client.post("sites", body=body)
    _print_site(made, as_json)


@site.command("list")
def list_sites(as_json: AsJson = False, api: Api = None, token_file: TokenFile = None) -> None:
    """List all sites by name."""
    with open_api(api, token_file) as client:
        sites = client.all("sites")
    if as_json:
        print_json(sites)
    elif not sites:
        print("There are no sites yet; make one with `blackstart site create`.", file=sys.stderr)
    else:
        columns = {"Id": False, "Name": True, "Plan": False, "Shows": False, "Since (UTC)": False}
        rows = ([each["id"], each["name"], each["plan"], *_shown(each)] for each in sites)
        print_table(columns, rows)


@site.command()
def show(
    name: SiteName, as_json: AsJson = False, api: Api = None, token_file: TokenFile = None
) -> None:
    """Show one site and the deploy that its visitors get."""
    with open_api(api, token_file) as client:
        found = client.get("sites", name)
    _print_site(found, as_json)


@site.command()
def delete(
    name: SiteName,
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
    api: Api = None,
    token_file: TokenFile = None,
) -> None:
    """Delete a site with its deploys, builds and hooks. Without --yes nothing happens."""
    with open_api(api, token_file) as client:
        found = client.get("sites", name)
        what = f"site {found['name']} ({found['id']})"
        if yes:
            client.delete("sites", found["id"])
            print(f"{what} is deleted", file=sys.stderr)
            return
    number, since = _shown(found)
    showing = f", which shows deploy {number} since {since}," if number else ""
    print(f"{what}{showing} would be deleted with all its deploys, builds and hooks")
    print("nothing was done: give --yes to do it", file=sys.stderr)


def _address_of(repo: str) -> str:
    """A folder of this machine as an absolute path: the API knows no working directory."""
    return str(Path(repo).resolve()) if "://" not in repo and Path(repo).is_dir() else repo


def _shown(each: dict[str, Any]) -> tuple[str, str]:
    deploy = each["published_deploy"]
    if deploy is None:
        return "", ""
    return f"#{deploy['number']}", minute(deploy["published_at"])


def _print_site(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    deploy = found["published_deploy"] or {}
    number, since = _shown(found)
    shows = f"deploy {number} ({deploy['id']}) since {since} UTC" if deploy else "nothing yet"
    print_fields(
        {
            "site": found["name"],
            "id": found["id"],
            "address": found["url"],
            "plan": found["plan"],
            "repository": found["repo_url"],
            "branch": found["branch"],
            "locked": "yes" if found["locked"] else "",
            "shows": shows,
            "commit": deploy.get("commit_ref"),
        }
    )
