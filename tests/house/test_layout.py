"""The shape of the tree, where a slip would only show much later or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

MAX_LINES = 500


def test_no_init_file_closes_the_namespace(root: Path, component: str) -> None:
    for folder in (root / component, root / component / "blackstart"):
        assert not (folder / "__init__.py").exists()


def test_nothing_importable_shadows_the_standard_library_s_platform(
    root: Path, components: list[str]
) -> None:
    shadows = [
        path
        for folder in [*components, "tests", "loadtests", "benchmarks"]
        for path in (root / folder).rglob("platform*")
        if path.name == "platform.py" or (path.name == "platform" and path.is_dir())
    ]
    assert shadows == []


def test_no_module_is_over_500_lines(root: Path, components: list[str]) -> None:
    lengths = {
        path: len(path.read_text().splitlines())
        for folder in [*components, "tests", "loadtests", "benchmarks"]
        for path in (root / folder).rglob("*.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_every_module_says_what_it_is(root: Path, components: list[str]) -> None:
    silent = [
        path
        for component in components
        for path in (root / component).rglob("*.py")
        if not re.match(r'(#[^\n]*\n)*r?"""\S', path.read_text())
    ]
    assert silent == []


def test_every_component_folder_is_in_the_wheel_the_type_check_and_the_lint(
    components: list[str], pyproject: dict[str, Any]
) -> None:
    tool = pyproject["tool"]
    wheel = tool["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert wheel == [f"{component}/blackstart" for component in components]
    assert tool["mypy"]["mypy_path"].split(":") == components
    # Not its `packages`: given a namespace, mypy checks the first folder only and says all is well.
    assert tool["mypy"]["files"] == ["*/blackstart/**/*.py"]
    assert tool["ruff"]["src"][: len(components)] == components


def test_the_launcher_and_ci_can_be_run(root: Path) -> None:
    for name in ("blackstart", ".ci/run", ".ci/lock"):
        assert os.access(root / name, os.X_OK), name


def test_ci_runs_the_test_command_of_the_readme(root: Path) -> None:
    readme = (root / "README.md").read_text()
    ci = (root / ".ci" / "run").read_text()
    assert re.search(r"^\./blackstart test$", readme, re.MULTILINE)
    assert re.search(r"^ *\./blackstart test$", ci, re.MULTILINE)


def test_the_image_holds_every_component(root: Path, components: list[str]) -> None:
    dockerfile = (root / "Dockerfile").read_text()
    sent = (root / ".dockerignore").read_text()
    for component in components:
        assert f"COPY {component} {component}\n" in dockerfile
        assert f"!{component}\n" in sent
