"""Many who never log in: they keep nobody out who does."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from tests.guard.proxy.recording import recording

FIND = {"find": "x", "$db": "shop"}
ROOM = 5


async def test_a_flood_of_strangers_keeps_no_login_out_and_ends_none(tmp_path: Path) -> None:
    async with recording(tmp_path, max_connections=ROOM) as guard, guard.raw("ada") as ada:
        strangers = [await asyncio.open_connection("127.0.0.1", guard.port) for _ in range(40)]
        try:
            for _, writer in strangers:
                writer.write(b"\x40\0\0\0")
            async with guard.raw("bob") as bob:
                assert (await bob.ask(FIND))["ok"] == 1.0
                assert (await ada.ask(FIND))["ok"] == 1.0
                # Those who were there longest made room; the last still wait for their turn.
                for reader, _ in strangers[: -ROOM + 1]:
                    with suppress(ConnectionError):
                        assert await reader.read() == b""
        finally:
            for _, writer in strangers:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()


async def test_whoever_is_in_makes_room_for_nobody(tmp_path: Path) -> None:
    async with (
        recording(tmp_path, max_connections=2) as guard,
        guard.raw("ada") as ada,
        guard.raw("bob") as bob,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", guard.port)
        with suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        for client in (ada, bob):
            assert (await client.ask(FIND))["ok"] == 1.0
