"""`blackstart hook`: build hooks through the control API, and a git hook that calls one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from blackstart.cli.api_options import Api, TokenFile, api_address, open_api, read_secret
from blackstart.cli.tables import minute, print_json, print_table

hook = typer.Typer(
    name="hook",
    rich_markup_mode="rich",
    help="Make, list and delete build hooks through the control API, and have a git repository "
    "call one on each push.",
)

SECRET_VARIABLE = "BLACKSTART_HOOK_SECRET"
SiteName = Annotated[str, typer.Argument(metavar="SITE", help="Its name or id.")]
HookId = Annotated[str, typer.Argument(metavar="HOOK", help="Its id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@hook.command()
def create(
    name: SiteName,
    title: Annotated[
        str | None, typer.Option(metavar="T", help="What it is for.", show_default=False)
    ] = None,
    branch: Annotated[
        str | None,
        typer.Option(metavar="B", help="What it builds; the site's branch.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
) -> None:
    """Make a hook whose calls are signed. Its secret is printed once, alone on stdout."""
    asked = {"title": title, "branch": branch}
    body: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    with open_api(api, token_file) as client:
        made = client.post("sites", name, "build_hooks", body={**body, "signed": True})
    if as_json:
        print_json(made)
        return
    print(
        f"hook {made['id']} builds {made['branch']} when {made['url']} is called", file=sys.stderr
    )
    print("keep its secret, which follows and is not shown again:", file=sys.stderr, flush=True)
    print(made["secret"])


@hook.command("list")
def list_hooks(
    name: SiteName, as_json: AsJson = False, api: Api = None, token_file: TokenFile = None
) -> None:
    """List a site's build hooks."""
    with open_api(api, token_file) as client:
        hooks = client.get("sites", name, "build_hooks")
    if as_json:
        print_json(hooks)
    elif not hooks:
        print("There are no hooks yet; make one with `blackstart hook create`.", file=sys.stderr)
    else:
        columns = {"Id": False, "Title": True, "Branch": True, "Signed": False, "Made (UTC)": False}
        print_table(columns, (_row(each) for each in hooks))


@hook.command()
def delete(
    hook_id: HookId,
    yes: Annotated[bool, typer.Option("--yes", help="Do it.")] = False,
    api: Api = None,
    token_file: TokenFile = None,
) -> None:
    """Delete a build hook: its address leads nowhere then. Without --yes nothing happens."""
    with open_api(api, token_file) as client:
        found = client.get("build_hooks", hook_id)
        what = f"hook {found['id']} ({found['title']}) of site {found['site_id']}"
        if yes:
            client.delete("build_hooks", found["id"])
            print(f"{what} is deleted", file=sys.stderr)
            return
    print(f"{what} would be deleted")
    print("nothing was done: give --yes to do it", file=sys.stderr)


@hook.command()
def install(
    hook_id: HookId,
    into: Annotated[Path, typer.Option(metavar="REPO", help="The repository that is pushed to.")],
    secret_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"A file that holds the hook's secret.  [dim]{SECRET_VARIABLE}[/]",
            show_default=False,
        ),
    ] = None,
    api: Api = None,
) -> None:
    """Write a post-receive hook that starts a build on each push. This needs no token.

    The secret is tried first, without a build. A post-receive hook of another
    kind is left as it is. The new one holds the secret, so only its owner can
    read it: push as that user.
    """
    from blackstart.cli.hook_install import hooks_folder, try_secret, write_hook

    folder = hooks_folder(into)
    address = api_address(api)
    secret = read_secret(secret_file, SECRET_VARIABLE)
    try_secret(address, hook_id, secret)
    path = write_hook(folder, address, hook_id, secret)
    print(f"{path} calls hook {hook_id} on each push", file=sys.stderr)


def _row(each: dict[str, Any]) -> list[str]:
    signed = "yes" if each["signed"] else "no"
    return [each["id"], each["title"], each["branch"], signed, minute(each["created_at"])]
