"""`blackstart safeguards`: the catalogue as people and scripts read it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from blackstart.safeguards import CATALOGUE

Call = Callable[..., Any]


def test_the_table_fits_in_80_columns_and_says_everything(call: Call) -> None:
    done = call("safeguards")
    lines = done.out.splitlines()
    assert done.code == 0
    assert max(len(line.rstrip()) for line in lines) <= 80
    for safeguard in CATALOGUE:
        assert f"\n{safeguard.name}" in done.out
        for word in f"{safeguard.off} {safeguard.on}".split():
            assert word in done.out, (safeguard.name, word)


@pytest.mark.parametrize("safeguard", CATALOGUE, ids=lambda safeguard: safeguard.name)
def test_the_table_marks_what_cannot_be_switched_on_yet(call: Call, safeguard: Any) -> None:
    line = re.search(rf"^{safeguard.name}( \*)? ", call("safeguards").out, re.MULTILINE)
    assert line is not None
    assert (line[1] is None) == safeguard.built


def test_as_json_it_is_the_catalogue(call: Call) -> None:
    assert json.loads(call("safeguards", "--json").out) == [
        {"name": each.name, "without": each.off, "with": each.on, "available": each.built}
        for each in CATALOGUE
    ]
