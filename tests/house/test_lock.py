"""The lock files: names, versions and hashes, and nothing that ties them to one machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

LOCKS = ["requirements.lock", "requirements-mongodb.lock"]
PIN = re.compile(r"(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^\s;]+)( ; [^\\]+)?")
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirement_name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None
    return normal(match[0])


def read_lock(path: Path) -> dict[str, list[str]]:
    """Pin line -> hash lines. Any line that is neither fails."""
    pins: dict[str, list[str]] = {}
    current: list[str] = []
    for line in path.read_text().splitlines():
        bare = line.removesuffix("\\").rstrip()
        if HASH.fullmatch(bare):
            current.append(bare)
        else:
            assert PIN.fullmatch(bare), f"{path.name}: neither a pin nor a hash: {line!r}"
            current = pins[bare] = []
    return pins


def names_in(path: Path) -> set[str]:
    return {requirement_name(pin) for pin in read_lock(path)}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pins_with_hashes_only(root: Path, lock: str) -> None:
    pins = read_lock(root / lock)
    assert pins
    assert [pin for pin, hashes in pins.items() if not hashes] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_address_and_no_index(root: Path, lock: str) -> None:
    text = (root / lock).read_text()
    assert not re.search(r"://|@ |--index|--extra|--find-links|--trusted", text)


def test_every_dependency_of_the_project_is_locked(root: Path, pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    needed = [
        *project["dependencies"],
        *project["optional-dependencies"]["dev"],
        *pyproject["build-system"]["requires"],
    ]
    assert {requirement_name(each) for each in needed} - names_in(root / LOCKS[0]) == set()


def test_the_embedded_mongodb_is_locked_apart(root: Path, pyproject: dict[str, Any]) -> None:
    (embedded,) = pyproject["project"]["optional-dependencies"]["embedded"]
    assert requirement_name(embedded) in names_in(root / LOCKS[1])
    assert names_in(root / LOCKS[0]) & names_in(root / LOCKS[1]) == set()


def test_the_embedded_mongodb_is_never_imported(root: Path, components: list[str]) -> None:
    importing = [
        path
        for folder in [*components, "tests"]
        for path in (root / folder).rglob("*.py")
        if re.search(r"^\s*(import|from) secantus", path.read_text(), re.MULTILINE)
    ]
    assert importing == []
