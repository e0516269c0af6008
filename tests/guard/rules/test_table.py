"""The table of rules: readable, complete, and closed where it must be."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from blackstart.errors import UsageError
from blackstart.guard.rules import Command, Decision, Judge, Table

TEXT = resources.files("blackstart.guard.rules").joinpath("rules.toml").read_text("utf-8")


def load(tmp_path: Path, text: str) -> Table:
    path = tmp_path / "rules.toml"
    path.write_text(text)
    return Table.load(path)


def test_a_table_of_ones_own_takes_the_place_of_the_guards(tmp_path: Path) -> None:
    table = load(tmp_path, TEXT.replace('several = "hold"', 'several = "refuse"'))
    body = {"delete": "sites", "deletes": [{"q": {}, "limit": 0}], "$db": "shop"}
    assert Judge(table).judge(Command.of(body)).decision is Decision.REFUSE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('unknown = "refuse"', 'unknown = "pass"'),
        ('forbidden = "refuse"', 'forbidden = "pass"'),
        ('read = "pass"', 'read = "maybe"'),
        ('read = "pass"', ""),
        ("[envelope]", "[envelop]"),
        ('count = "', 'insert = "documents"\ncount = "'),
        ("insert_documents = 1", 'insert_documents = "one"'),
        ('precious = "metadata"', ""),
        ("[control]", "[control"),
    ],
)
def test_a_table_that_is_incomplete_or_lets_the_unknown_through_is_no_table(
    tmp_path: Path, old: str, new: str
) -> None:
    assert old in TEXT
    with pytest.raises(UsageError, match="holds no rules"):
        load(tmp_path, TEXT.replace(old, new, 1))


def test_a_file_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no rules"):
        Table.load(tmp_path / "missing.toml")


def test_a_rule_of_a_collection_holds_in_the_database_it_names(tmp_path: Path) -> None:
    table = load(tmp_path, TEXT.replace('database = "*"', 'database = "prod"'))
    assert table.rule_of("prod", "deploys") is not None
    assert table.rule_of("stage", "deploys") is None


def test_only_the_services_that_a_rule_names_pass(tmp_path: Path) -> None:
    table = load(tmp_path, TEXT.replace('services = "*"', 'services = "control worker"'))
    rule = table.rule_of("shop", "deploys")
    assert rule is not None
    assert [rule.lets(name) for name in ("control", "drill", None)] == [True, False, False]
