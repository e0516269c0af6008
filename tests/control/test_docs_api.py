"""docs/api.md has every route of the control plane as it is, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.routing import iter_route_contexts

from blackstart.control.access import Needs
from blackstart.control.api.context import ALWAYS
from blackstart.control.paths import is_api

if TYPE_CHECKING:
    from tests.conftest import Bench

DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
ROW = re.compile(r"^\| ([A-Z]+) \| `(/[^`]*)` \| (\S*) \| ([^|]+) \| ([0-9 ]*) ?\|$", re.MULTILINE)
UNDESCRIBED = {"/openapi.json", "/docs", "/docs/oauth2-redirect"}
"""FastAPI's own, which the text names."""

Route = tuple[str, str, str, str]


def scope_of(dependant: Any) -> str:
    """The scope that a route's dependencies demand, in the order they are met."""
    if isinstance(dependant.call, Needs):
        return dependant.call.scope.value
    return next(filter(None, map(scope_of, dependant.dependencies)), "")


def statuses_of(operation: dict[str, Any], path: str) -> str:
    """What a route answers besides what every route of the API does."""
    everywhere = ALWAYS if is_api(path) else ()
    return " ".join(each for each in operation["responses"] if int(each) not in everywhere)


def routes_of(bench: Bench) -> list[Route]:
    """Method, path, scope and statuses; the latter are empty for what is not in the document."""
    app = bench.control()
    paths = app.openapi()["paths"]
    found = []
    for route in iter_route_contexts(app.routes):
        if route.path in UNDESCRIBED:
            continue
        assert route.path_format is not None
        for method in route.methods or ():
            operation = paths.get(route.path_format, {}).get(method.lower())
            statuses = "" if operation is None else statuses_of(operation, route.path_format)
            found.append((method, route.path_format, scope_of(route.dependant), statuses))
    return sorted(found)


async def test_the_table_and_the_routes_are_the_same(bench: Bench) -> None:
    rows = ROW.findall(DOCUMENT)
    documented = [
        (method, path, scope.strip("`"), " ".join(sorted(statuses.split())))
        for method, path, scope, _, statuses in rows
    ]
    actual = [(*route, " ".join(sorted(statuses.split()))) for *route, statuses in routes_of(bench)]
    assert sorted(documented) == sorted(actual)
    assert len(rows) == DOCUMENT.count("| `/"), "a row that could not be read"


def test_what_every_route_may_answer_is_told() -> None:
    assert " ".join(map(str, ALWAYS)) in DOCUMENT
    assert all(f"`{path}`" in DOCUMENT for path in UNDESCRIBED)
