"""The tree of errors, as it is drawn and as it is."""

from __future__ import annotations

import re

from blackstart import errors
from blackstart.errors import BlackstartError


def classes() -> list[type[BlackstartError]]:
    found = [BlackstartError]
    for known in found:
        ours = (each for each in known.__subclasses__() if each.__module__ == errors.__name__)
        found += ours
    return found


def test_the_drawing_has_every_error_below_its_parent() -> None:
    drawn: dict[str, str] = {}
    path: list[str] = []
    for branch, name in re.findall(r"^    ([ │├└─]*)(\w+Error)\b", errors.__doc__ or "", re.M):
        depth = len(branch) // 4
        path[depth:] = [name]
        drawn[name] = path[depth - 1] if depth else ""
    assert drawn == {
        each.__name__: each.__base__.__name__ if each is not BlackstartError else ""
        for each in classes()
        if each.__base__ is not None
    }


def test_every_error_of_a_client_has_a_status_below_500() -> None:
    statuses = {each.code: each.status for each in classes()}
    assert statuses["unauthorized"] == 401
    assert statuses["forbidden"] == 403
    assert statuses["too_large"] == 413
    assert statuses["rate_limited"] == 429
