"""The table of the RFCs' requirements in `docs/cdn.md` names code and tests that exist."""

from __future__ import annotations

import ast
import pkgutil
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTION = "## What the RFCs ask, where it is done, which test shows it"
TEXT = (ROOT / "docs" / "cdn.md").read_text().partition(SECTION)[2].partition("\n## ")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|") and not line.startswith(("| section |", "|---"))
]
NAME = re.compile(r"`([^`]+)`")


def names_in(column: int, rows: list[list[str]]) -> list[str]:
    """What a column names, each once; the words of `not done` aside."""
    cells = [row[column] for row in rows if not row[column].startswith("not done")]
    return sorted({name for cell in cells for name in NAME.findall(cell) if "." in name})


def functions_of(stem: str) -> set[str]:
    """The test functions in all modules of that name below `tests/cdn`."""
    found: set[str] = set()
    for path in (ROOT / "tests" / "cdn").rglob(f"{stem}.py"):
        tree = ast.parse(path.read_text())
        defined = (ast.FunctionDef, ast.AsyncFunctionDef)
        found |= {node.name for node in tree.body if isinstance(node, defined)}
    return found


@pytest.mark.parametrize("name", names_in(2, ROWS))
def test_every_place_is_there(name: str) -> None:
    assert pkgutil.resolve_name(f"blackstart.cdn.{name}") is not None


@pytest.mark.parametrize("name", names_in(3, ROWS))
def test_every_test_is_there(name: str) -> None:
    stem, _, function = name.partition(".")
    assert function in functions_of(stem)


def test_every_row_says_where_it_is_done_and_what_shows_it_or_that_it_is_not_done() -> None:
    assert len(ROWS) > 100
    for row in ROWS:
        assert len(row) == 4, row
        if row[2].startswith("not done"):
            assert row[3] == "", row
        else:
            assert names_in(2, [row]), row
            assert names_in(3, [row]), row
