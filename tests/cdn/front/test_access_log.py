"""The access log, line by line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from blackstart.cdn.front import AccessLog, TrustedPeers
from blackstart.cdn.message import Headers, Request, Response
from blackstart.clock import Clock
from blackstart.errors import StorageError

Serve = Callable[..., AbstractAsyncContextManager[Any]]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_each_answer_is_a_line(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    headers = Headers([("content-length", "4"), ("cache-status", 'n1; hit; detail="a"')])

    async def answer(request: Request) -> Response:
        site.clock.now_s += 1.5
        return Response(404, Headers(), b"none")

    trusted = TrustedPeers.of(["127.0.0.1"])
    async with serve(trusted=trusted, access_log=lambda clock: AccessLog(clock, path)) as site:
        async with site.client() as client:
            site.node.at_once = lambda r: (
                None if "miss" in r.target else Response(200, headers, b"page")
            )
            site.node.later = answer
            fields = b"Host: a.example\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
            await client.send(b'GET /"a"?b\\ HTTP/1.1\r\n' + fields)
            await client.answer()
            await client.send(b"HEAD / HTTP/1.1\r\n" + fields)
            await client.answer(head_only=True)
            await client.send(b"GET /miss HTTP/1.1\r\n" + fields)
            await client.answer()
            await client.send(b"GET /a b HTTP/1.1\r\n" + fields)
            await client.answer()
        assert path.read_text() == ""
        await site.clock.pass_time(2)
        hit, head, miss, refused = lines(path)
    assert hit == {
        "time": "2017-02-02T01:46:40.000Z",
        "client": "1.2.3.4",
        "method": "GET",
        "host": "a.example",
        "target": '/"a"?b\\',
        "status": 200,
        "bytes": 4,
        "duration": 0.0,
        "cache_status": 'n1; hit; detail="a"',
    }
    assert (head["method"], head["bytes"]) == ("HEAD", 0)
    assert (miss["status"], miss["duration"], miss["cache_status"]) == (404, 1.5, None)
    assert miss["time"] == "2017-02-02T01:46:41.500Z"
    assert (refused["status"], refused["client"], refused["host"]) == (400, "127.0.0.1", "")


async def test_a_client_that_left_is_noted_as_such(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    began = asyncio.Event()

    async def answer(request: Request) -> Response:
        began.set()
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async with serve(access_log=lambda clock: AccessLog(clock, path)) as site:
        site.node.at_once = lambda _: None
        site.node.later = answer
        async with site.client() as client:
            await client.send(b"GET /gone HTTP/1.1\r\nHost: a.example\r\n\r\n")
            await asyncio.wait_for(began.wait(), 5)
    assert [(line["status"], line["target"]) for line in lines(path)] == [(499, "/gone")]


def test_a_log_that_cannot_be_opened_is_an_error(clock: Clock, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write the access log"):
        AccessLog(clock, tmp_path / "no" / "access.log")


def test_a_full_disk_loses_lines_and_nothing_else(clock: Clock) -> None:
    log = AccessLog(clock, Path("/dev/full"))
    log.answered(None, "GET", "a.example", "/", Response(200), 0, clock.time())
    log.flush()
    log.answered(None, "GET", "a.example", "/", Response(200), 0, clock.time())
    log.close()
    assert log.lost_lines == 2


def test_a_log_that_was_moved_or_removed_is_begun_anew(clock: Clock, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    path, older = folder / "access.log", folder / "access.log.1"
    log = AccessLog(clock, path)

    def note(target: str) -> None:
        log.answered(None, "GET", "a.example", target, Response(200), 0, clock.time())
        log.flush()

    def targets(file: Path) -> list[str]:
        return [line["target"] for line in lines(file)]

    note("/1")
    path.rename(older)
    note("/2")
    note("/3")
    assert (targets(older), targets(path)) == (["/1"], ["/2", "/3"])
    path.unlink()
    note("/4")
    assert targets(path) == ["/4"]
    folder.rename(tmp_path / "elsewhere")
    note("/5")
    assert targets(tmp_path / "elsewhere" / "access.log") == ["/4", "/5"], "nothing is lost"
    log.close()


def test_without_a_file_it_goes_to_stdout(
    clock: Clock, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AccessLog(clock)
    log.answered(None, "GET", "a.example", "/", Response(200), 0, clock.time())
    log.close()
    assert json.loads(capfd.readouterr().out)["client"] is None
