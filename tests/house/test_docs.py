"""The documents name what there is: nothing can be added without a word about it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from typer import Typer

from blackstart.cli.main import app
from blackstart.drills.accounting import Fate
from blackstart.drills.checks import RULES
from blackstart.drills.incidents import CATALOGUE as INCIDENTS
from blackstart.drills.result import Result
from blackstart.errors import BlackstartError
from blackstart.guard.settings import GuardSettings
from blackstart.model import Scope
from blackstart.routing import parse_rules
from blackstart.routing.fields import FORBIDDEN
from blackstart.safeguards import CATALOGUE as SAFEGUARDS
from blackstart.store.pointers import ProblemKind

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DRILL = (ROOT / "docs" / "drill.md").read_text()
ACCESS = (ROOT / "docs" / "access.md").read_text()
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
POINTER_LOG = (ROOT / "docs" / "pointer-log.md").read_text()
SERVERS = (ROOT / "docs" / "servers.md").read_text()
ROUTING = (ROOT / "docs" / "routing.md").read_text()
ALL = README + "".join(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))


def commands_of(typer_app: Typer) -> list[str]:
    """Every command, those of groups as `group command`."""
    own = [info.name or info.callback.__name__ for info in typer_app.registered_commands]
    groups = [group.typer_instance for group in typer_app.registered_groups]
    return own + [f"{group.info.name} {name}" for group in groups for name in commands_of(group)]


@pytest.mark.parametrize("command", commands_of(app))
def test_every_command_is_documented(command: str) -> None:
    assert re.search(rf"^\| `blackstart {command}\b[^`]*` \| \S", COMMANDS, re.MULTILINE)


def test_every_command_that_a_text_of_ours_names_is_there() -> None:
    there = commands_of(app)
    named = {
        words: path.name
        for path in ROOT.glob("*/blackstart/**/*.py")
        for words in re.findall(r"`blackstart ([a-z-]+(?: [a-z][a-z-]*)*)", path.read_text())
    }
    assert named
    for words, where in named.items():
        known = (
            f"{each} ".startswith(f"{words} ") or words.startswith(f"{each} ") for each in there
        )
        assert any(known), f"{where}: `blackstart {words}`"


@pytest.mark.parametrize("scope", sorted(Scope))
def test_every_scope_is_documented(scope: str) -> None:
    assert f"\n| `{scope}` |" in ACCESS


@pytest.mark.parametrize("code", sorted({each.code for each in BlackstartError.__subclasses__()}))
def test_every_code_of_an_error_is_documented(code: str) -> None:
    assert f"`{code}`" in ACCESS


@pytest.mark.parametrize("name", [safeguard.name for safeguard in SAFEGUARDS])
def test_every_safeguard_is_documented(name: str) -> None:
    assert f"`{name}`" in DRILL


@pytest.mark.parametrize("name", sorted(GuardSettings.model_fields))
def test_every_setting_of_a_guard_is_documented(name: str) -> None:
    assert f"\n| `BLACKSTART_{name.upper()}` | " in SERVERS


@pytest.mark.parametrize("kind", sorted(ProblemKind))
def test_every_problem_of_the_pointer_log_is_documented(kind: str) -> None:
    assert f"\n| `{kind}` | " in POINTER_LOG


@pytest.mark.parametrize("check", [rule.id for rule in RULES])
def test_every_check_is_documented(check: str) -> None:
    assert f"`{check}`" in DRILL


@pytest.mark.parametrize("name", sorted(INCIDENTS))
def test_every_incident_is_documented(name: str) -> None:
    assert f"drill {name}" in DRILL


@pytest.mark.parametrize("key", [field.name for field in fields(Result)])
def test_every_key_of_the_result_is_documented(key: str) -> None:
    assert f"`{key}`" in DRILL


@pytest.mark.parametrize("fate", sorted(Fate))
def test_every_way_back_is_documented(fate: str) -> None:
    assert f"`{fate}`" in DRILL


@pytest.mark.parametrize("option", ["--sites", "--seed", "--with", "--repo", "--json", "--out"])
def test_every_option_of_the_drill_is_in_the_readme(option: str) -> None:
    assert f"`{option}" in README


def test_links_between_documents_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


@pytest.mark.parametrize("name", sorted(FORBIDDEN))
def test_every_field_that_a_site_cannot_set_is_documented(name: str) -> None:
    assert f"`{name}`" in ROUTING.lower()


def test_every_example_of_rules_is_read_without_a_problem() -> None:
    examples = re.findall(r"(?:^    .*\n|^\n(?=    ))+", ROUTING, re.MULTILINE)
    assert len(examples) == 4
    for example in examples:
        text = re.sub("^    ", "", example, flags=re.MULTILINE)
        name = "_headers" if ": DENY" in text else "netlify.toml" if "[[" in text else "_redirects"
        rules = parse_rules({name: text.encode()})
        assert rules.problems == []
        assert rules.redirects or rules.headers


def test_the_commands_of_netlify_s_client_that_are_documented_are_those_that_are_tested() -> None:
    tests = (ROOT / "tests" / "e2e" / "test_netlify_clients.py").read_text()
    documented = re.findall(r"^ {4}(npx netlify .+)$", ALL, re.MULTILINE)
    assert len(documented) == 3
    assert sorted(documented) == sorted(re.findall(r'^[A-Z]+ = "(npx .+)"$', tests, re.MULTILINE))
