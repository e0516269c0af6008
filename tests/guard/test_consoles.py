"""Consoles: none that is not on record, and an end that cannot be told ends all the same."""

from __future__ import annotations

from typing import Any

import pytest
from tests.conftest import ManualClock

from blackstart.errors import StorageError
from blackstart.guard.consoles import Consoles


class Lines:
    """A trail and a channel that keep what they are told; the trail can fail."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, dict[str, Any]]] = []
        self.told: list[str] = []
        self.is_full = False

    async def record(self, action: str, **details: Any) -> None:
        if self.is_full:
            raise StorageError("no space left")
        self.recorded.append((action, details))

    def note(self, action: str, **details: Any) -> None:
        raise AssertionError("a console is recorded at once")

    async def tell(self, text: str, *, request: int | None = None) -> None:
        self.told.append(text)


async def test_both_ends_are_told_and_on_record_with_how_long_it_lasted() -> None:
    lines, clock = Lines(), ManualClock()
    consoles = Consoles(lines, lines, clock)
    console = await consoles.begin("ada", "ada", "127.0.0.1:5 shell", "ada@laptop" + 300 * "p")
    clock.advance(3_725)
    await consoles.end(console)
    (began, first), (ended, last) = lines.recorded
    assert (began, ended) == ("console.began", "console.ended")
    assert first["client"] == "127.0.0.1:5 shell"
    assert len(first["where"]) == 200
    assert last["seconds"] == 3_725
    assert lines.told[1].endswith("ended after 1:02:05")


async def test_a_console_that_cannot_be_put_on_record_is_none() -> None:
    lines = Lines()
    lines.is_full = True
    with pytest.raises(StorageError):
        await Consoles(lines, lines, ManualClock()).begin("ada", "ada", "127.0.0.1:5", "")
    assert lines.told == []


async def test_an_end_that_cannot_be_put_on_record_is_told_all_the_same() -> None:
    lines = Lines()
    consoles = Consoles(lines, lines, ManualClock())
    console = await consoles.begin("ada", "ada", "127.0.0.1:5", "")
    lines.is_full = True
    await consoles.end(console)
    assert lines.told == [
        "the console of ada from 127.0.0.1:5 began (127.0.0.1:5)",
        "the console of ada from 127.0.0.1:5 ended after 0:00:00",
    ]
