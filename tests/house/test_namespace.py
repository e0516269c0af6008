"""One namespace over several folders: all of it importable, nothing hidden, arrows down only."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

LAYERS = [{"platform"}, {"cdn", "builder", "guard", "recovery"}, {"drills"}, {"cli"}]
RANK = {component: rank for rank, layer in enumerate(LAYERS) for component in layer}
CDN_MAY_IMPORT = {"blackstart.errors", "blackstart.clock", "blackstart.seed"}


def modules_of(root: Path, component: str) -> dict[str, Path]:
    """Every module of a component folder by its dotted name."""
    found = {}
    for path in sorted((root / component).rglob("*.py")):
        parts = list(path.relative_to(root / component).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


def all_modules(root: Path) -> dict[str, tuple[str, Path]]:
    """Dotted name -> (component, path)."""
    return {
        name: (component, path)
        for component in RANK
        for name, path in modules_of(root, component).items()
    }


def runs_on_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """The statements that run when the module is imported, without those for the type checker."""
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        statement = pending.pop()
        yield statement
        if isinstance(statement, ast.If) and "TYPE_CHECKING" not in ast.dump(statement.test):
            pending += statement.body + statement.orelse
        elif isinstance(statement, ast.Try):
            pending += statement.body + statement.orelse + statement.finalbody
            pending += [inner for handler in statement.handlers for inner in handler.body]


def imported_names(nodes: Iterator[ast.stmt] | Iterator[ast.AST], package: str) -> set[str]:
    """The dotted names that these statements import, relative ones resolved against `package`."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            names.add(base)
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def ours(names: set[str], known: dict[str, tuple[str, Path]]) -> set[str]:
    return names & known.keys()


def package_of(name: str, path: Path) -> str:
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def test_every_component_folder_has_its_place_in_the_layers(components: list[str]) -> None:
    assert set(components) == set(RANK)


def test_import_platform_finds_the_standard_library_from_a_component_folder(
    root: Path, component: str
) -> None:
    assert_standard_platform(root / component)


@pytest.mark.parametrize("folder", [".", "tests", "platform/blackstart", "loadtests", "benchmarks"])
def test_import_platform_finds_the_standard_library_from_other_folders(
    root: Path, folder: str
) -> None:
    if (root / folder).is_dir():
        assert_standard_platform(root / folder)


def assert_standard_platform(folder: Path) -> None:
    """With the folder first on the path, as `python -m` and `python -c` put it there."""
    run = subprocess.run(
        [sys.executable, "-c", "import platform; print(platform.__file__)"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(run.stdout.strip()) == Path(sysconfig.get_path("stdlib"), "platform.py")


def test_one_environment_imports_every_module_of_a_component(root: Path, component: str) -> None:
    for name, path in modules_of(root, component).items():
        if name.endswith(".__main__"):
            continue
        imported = importlib.import_module(name)
        assert imported.__file__ is not None
        assert Path(imported.__file__) == path


def test_no_two_folders_hold_the_same_module(root: Path, components: list[str]) -> None:
    names = [name for component in components for name in modules_of(root, component)]
    assert sorted(names) == sorted(set(names))


def test_arrows_run_down_only(root: Path, component: str) -> None:
    known = all_modules(root)
    upward = []
    for name, path in modules_of(root, component).items():
        tree = ast.parse(path.read_text(), str(path))
        for target in sorted(ours(imported_names(ast.walk(tree), package_of(name, path)), known)):
            owner = known[target][0]
            if owner != component and RANK[owner] >= RANK[component]:
                upward.append(f"{name} imports {target}")
    assert upward == []


def test_the_cdn_knows_nothing_of_ours_but_errors_clock_and_seed(root: Path) -> None:
    known = all_modules(root)
    foreign = [
        f"{name} imports {target}"
        for name, path in modules_of(root, "cdn").items()
        for target in sorted(
            ours(
                imported_names(ast.walk(ast.parse(path.read_text())), package_of(name, path)), known
            )
        )
        if known[target][0] != "cdn" and target not in CDN_MAY_IMPORT
    ]
    assert foreign == []


def test_modules_import_each_other_in_no_circle(root: Path) -> None:
    known = all_modules(root)
    graph = {}
    for name, (_, path) in known.items():
        names = imported_names(runs_on_import(ast.parse(path.read_text())), package_of(name, path))
        graph[name] = ours(names, known) - {name}
    TopologicalSorter(graph).prepare()
