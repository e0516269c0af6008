"""What the tests of the house share: where it stands, and which folders it has."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def read_pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


COMPONENTS: list[str] = read_pyproject()["tool"]["hatch"]["build"]["dev-mode-dirs"]


@pytest.fixture
def root() -> Path:
    return ROOT


@pytest.fixture
def components() -> list[str]:
    return COMPONENTS


@pytest.fixture
def pyproject() -> dict[str, Any]:
    return read_pyproject()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `component` runs once for each component folder."""
    if "component" in metafunc.fixturenames:
        metafunc.parametrize("component", COMPONENTS)
