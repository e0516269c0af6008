"""People, and a write that was held."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blackstart.guard.logins import Login, Role, Secret
from blackstart.guard.preview import Part, Preview
from blackstart.guard.requests import Asked, Book, RequestFolder, Terms

SECRET = Secret(b"", 1, b"", b"")
DIGEST = "d" * 64


def login(name: str, person: str = "", *roles: Role) -> Login:
    return Login(name, person or name, frozenset(roles), SECRET)


@pytest.fixture
def people() -> dict[str, Login]:
    """ada asks, bob and eve review; ada has a second account, and a reviewer's third one."""
    return {
        "ada": login("ada"),
        "ada-2": login("ada-2", "ada", Role.REVIEWER),
        "bob": login("bob", "", Role.REVIEWER),
        "eve": login("eve", "", Role.REVIEWER),
        "kim": login("kim"),
        "control": login("control", "", Role.SERVICE, Role.REVIEWER),
    }


@pytest.fixture
def asked() -> Asked:
    preview = Preview((Part("update", "shop.deploys", matched=52, total=1_000),))
    return Asked(
        login="ada",
        person="ada",
        client="127.0.0.1:5",
        database="shop",
        command={"update": "deploys", "updates": [{"q": {}, "u": {"$set": {"a": 1}}}]},
        digest=DIGEST,
        kind="several",
        why="update of all documents that match",
        preview=preview.row(),
    )


@pytest.fixture
def book_of(tmp_path: Path, manual_clock: Any) -> Callable[..., Book]:
    """Opens the book in one folder, as each process does; takes another way to replace files."""

    def make(**options: Any) -> Book:
        return Book(RequestFolder(tmp_path / "requests", **options), manual_clock, Terms())

    return make


@pytest.fixture
def book(book_of: Callable[..., Book]) -> Book:
    return book_of()
