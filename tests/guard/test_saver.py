"""The snapshot before a held write, and the command that undoes the write."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from blackstart.errors import ConflictError
from blackstart.guard.redact import Redaction
from blackstart.guard.requests import Request, State
from blackstart.guard.rules import Command, Decision, Judge, Table
from blackstart.guard.saver import NOTHING_TO_SAVE, Saver

NOW = datetime(2020, 1, 1, tzinfo=UTC)


def request(found: Any, *, spaces: Any = (("shop", "deploys"),), kind: str = "several") -> Request:
    """A held update of what a filter finds, as the guard keeps it."""
    command = {"update": "deploys", "updates": [{"q": found, "u": {"$set": {"a": 1}}}]}
    return Request(
        number=1,
        state=State.HELD,
        login="ada",
        person="ada",
        client="here",
        at=NOW,
        held_until=NOW,
        database="shop",
        command=Redaction()(command),
        digest="0",
        kind=kind,
        why="an update",
        spaces=spaces,
        preview={},
    )


async def take(database: str) -> str:
    return f"snapshot-of-{database}"


async def test_the_undo_names_snapshot_collection_and_what_was_matched() -> None:
    saved = await Saver(take)(request({"state": "ready"}))
    assert saved.snapshot == "snapshot-of-shop"
    assert saved.undo == (
        "BLACKSTART_DATABASE=shop blackstart snapshot restore snapshot-of-shop "
        """--collection deploys --where '{"state": "ready"}'"""
    )


@pytest.mark.parametrize(
    "found",
    [
        {"_id": {"$in": [str(number) for number in range(30)]}},
        {"token": "hidden"},
        {"name": "x" * 2_000},
        {f"field-{number}": 1 for number in range(200)},
        {"data": b"bytes"},
    ],
    ids=["a long list", "a secret", "a long text", "many fields", "bytes"],
)
async def test_a_filter_that_is_not_shown_whole_is_no_part_of_the_undo(found: Any) -> None:
    saved = await Saver(take)(request(found))
    assert "--where" not in saved.undo and saved.undo.endswith("--collection deploys")


async def test_a_write_that_does_not_tell_what_it_changes_is_not_saved() -> None:
    with pytest.raises(ConflictError):
        await Saver(take)(request({}, spaces=()))


async def test_what_changes_no_document_needs_no_snapshot() -> None:
    saved = await Saver(take)(request({}, spaces=(), kind="control"))
    assert (saved.snapshot, saved.undo) == (NOTHING_TO_SAVE, "")


async def test_a_repair_is_saved_before_for_it_may_throw_documents_away() -> None:
    command = Command.of({"validate": "deploys", "repair": True, "$db": "shop"})
    verdict = Judge(Table.load()).judge(command)
    assert verdict.decision is Decision.HOLD
    saved = await Saver(take)(request({}, spaces=verdict.spaces, kind=verdict.kind))
    assert saved.snapshot == "snapshot-of-shop"
