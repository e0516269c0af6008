"""`blackstart incidents`: what can be drilled, for people and for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from blackstart.drills.incidents import CATALOGUE

Call = Callable[..., Any]


def test_every_incident_is_listed_with_its_title_in_80_columns(call: Call) -> None:
    done = call("incidents")
    assert (done.code, done.err) == (0, "")
    assert max(len(line.rstrip()) for line in done.out.splitlines()) <= 80
    for incident in CATALOGUE.values():
        assert f"{incident.name} " in done.out
        for word in incident.title.split():
            assert word in done.out
    assert "blackstart drill INCIDENT" in done.out


def test_as_json_it_is_the_catalogue(call: Call) -> None:
    done = call("incidents", "--json")
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out) == [
        {"name": incident.name, "title": incident.title} for incident in CATALOGUE.values()
    ]
