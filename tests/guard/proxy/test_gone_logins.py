"""A login that is removed or changed while somebody is in with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import OperationFailure, PyMongoError
from tests.guard.proxy.conftest import PASSWORD, Guarded
from tests.guard.proxy.recording import recording

from blackstart.guard.logins import Logins, Role


async def test_who_is_removed_is_out_at_the_next_command(guarded: Guarded) -> None:
    async with guarded.client("ada") as ada, guarded.client("bob") as bob:
        for client in (ada, bob):
            await client[guarded.database]["x"].find_one()
        guarded.gate.asked.clear()
        guarded.logins.remove("ada")
        with pytest.raises(PyMongoError):
            await ada[guarded.database]["x"].insert_one({"_id": 1})
        with pytest.raises(OperationFailure, match="Authentication failed"):
            await ada[guarded.database]["x"].find_one()
        assert await bob[guarded.database]["x"].find_one() is None
        assert guarded.gate.names() == ["find"]


async def test_who_is_no_reviewer_any_more_decides_nothing_on_an_old_connection(
    tmp_path: Path,
) -> None:
    write = {"delete": "x", "deletes": [{"q": {}, "limit": 0}], "$db": "shop"}
    async with recording(tmp_path) as guard, guard.raw("ada") as ada, guard.raw("bob") as bob:
        await ada.ask(write)
        (held,) = guard.book.open()
        logins = Logins(tmp_path / "logins.json")
        logins.remove("bob")
        logins.add("bob", PASSWORD)
        approve: dict[str, Any] = {"guardApprove": held.number, "digest": held.digest}
        with pytest.raises(AssertionError, match="no answer"):
            await bob.ask({**approve, "reason": "a last favour", "$db": "admin"})
        assert guard.book.get(held.number) == held


async def test_whoever_else_is_added_leaves_a_connection_as_it_is(tmp_path: Path) -> None:
    write = {"delete": "x", "deletes": [{"q": {}, "limit": 0}], "$db": "shop"}
    async with recording(tmp_path) as guard, guard.raw("ada") as ada:
        await ada.ask(write)
        (held,) = guard.book.open()
        Logins(tmp_path / "logins.json").add("eve", PASSWORD, roles=[Role.REVIEWER])
        async with guard.raw("eve") as eve:
            approve = {"guardApprove": held.number, "digest": held.digest, "$db": "admin"}
            assert (await eve.ask({**approve, "reason": "agreed"}))["ok"] == 1.0
        assert (await ada.ask(write))["ok"] == 1.0


async def test_logins_that_cannot_be_read_let_nobody_on(tmp_path: Path) -> None:
    async with recording(tmp_path) as guard, guard.raw("ada") as ada:
        find = {"find": "x", "$db": "shop"}
        assert (await ada.ask(find))["ok"] == 1.0
        kept = (tmp_path / "logins.json").read_bytes()
        (tmp_path / "logins.json").write_bytes(b"{")
        assert "holds no logins" in (await ada.ask(find))["errmsg"]
        (tmp_path / "logins.json").write_bytes(kept)
        assert (await ada.ask(find))["ok"] == 1.0
        assert guard.stub.asked() == ["find", "find"]
