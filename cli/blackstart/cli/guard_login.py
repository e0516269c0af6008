"""`blackstart guard login`: who may come through the guard."""

from __future__ import annotations

import fcntl
import os
import sys
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blackstart.cli.guard_door import read_password
from blackstart.cli.guard_options import AsJson, DataFolder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blackstart.guard.logins import Logins

Name = Annotated[str, typer.Argument(metavar="NAME", help="The login's name.")]


class RoleName(StrEnum):
    """The roles of `blackstart.guard.logins.Role`, without its imports."""

    REVIEWER = "reviewer"
    SERVICE = "service"


login = typer.Typer(
    name="login",
    rich_markup_mode="rich",
    help="Who may come through the guard. A guard that runs sees a change at the next login.",
)


@login.command()
def add(
    name: Name,
    person: Annotated[
        str, typer.Option(metavar="P", help="Whose it is.  [dim]default a person of its own[/]")
    ] = "",
    role: Annotated[
        list[RoleName] | None,
        typer.Option(
            metavar="R",
            help="reviewer: decides about what others ask for. service: a program; its writes to"
            " one document pass. Repeatable.",
        ),
    ] = None,
    data: DataFolder = None,
) -> None:
    """Make a login. Its password is asked for, or taken from BLACKSTART_GUARD_PASSWORD.

    Nobody approves a write that another login of the same person asked for.
    """
    from blackstart.guard.logins import Role

    with _logins(data) as logins:
        # Of a name that is taken no password is wanted.
        password = read_password(name, new=True) if logins.find(name) is None else ""
        made = logins.add(name, password, person=person, roles=[Role(each) for each in role or ()])
    print(f"{made.name}, {made.person}, {_roles(made.roles)}")


@login.command("list")
def list_logins(data: DataFolder = None, as_json: AsJson = False) -> None:
    """List the logins."""
    from blackstart.cli.tables import print_json, print_table

    with _logins(data) as logins:
        found = logins.all()
    if as_json:
        rows = [
            {"name": each.name, "person": each.person, "roles": sorted(each.roles)}
            for each in found
        ]
        print_json(rows)
    elif found:
        print_table(
            {"login": False, "person": False, "roles": True},
            ((each.name, each.person, _roles(each.roles)) for each in found),
        )
    else:
        print("nobody can log in yet: see `blackstart guard login add`", file=sys.stderr)


@login.command()
def remove(name: Name, data: DataFolder = None) -> None:
    """Remove a login. Connections that are open stay until they end or the guard does."""
    with _logins(data) as logins:
        logins.remove(name)
    print(f"{name} is removed")


@contextmanager
def _logins(data: Path | None) -> Iterator[Logins]:
    """The logins in a guard's folder; one command at a time changes them. Raises: StorageError."""
    from blackstart.guard.guardroom import Places
    from blackstart.guard.logins import Logins
    from blackstart.guard.service import FOLDER_FAILURE
    from blackstart.guard.settings import GuardSettings
    from blackstart.settings import load
    from blackstart.store.backend import storage_errors

    settings = load(GuardSettings) if data is None else load(GuardSettings, guard_data=data)
    places = Places(settings.guard_data)
    with storage_errors(FOLDER_FAILURE):
        places.make()
        descriptor = os.open(places.logins_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Logins(places.logins)
    finally:
        os.close(descriptor)


def _roles(roles: frozenset[str]) -> str:
    return ", ".join(sorted(roles)) or "no role"
