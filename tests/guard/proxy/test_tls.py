"""TLS on both sides of the guard."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from pymongo.uri_parser import parse_uri
from tests.guard.proxy.conftest import guarding

from blackstart.errors import DatabaseError
from blackstart.guard.proxy.upstream import Upstream
from blackstart.guard.service import tls_of

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the openssl command, to make a certificate"
)


@asynccontextmanager
async def terminator(uri: str, certificate: Path, listen: str = "127.0.0.1") -> AsyncIterator[str]:
    """TLS before the database; HOST:PORT of it."""
    host, port = parse_uri(uri)["nodelist"][0]
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
        try:
            await asyncio.gather(_pipe(reader, inner_writer), _pipe(inner_reader, writer))
        finally:
            for each in (writer, inner_writer):
                each.transport.abort()
                with suppress(OSError):
                    await each.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(serve(reader, writer)))

    server = await asyncio.start_server(connected, listen, 0, ssl=tls_of(certificate))
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_clients_are_served_by_tls(
    mongodb_uri: str, tmp_path: Path, store: Any, certificate: Path
) -> None:
    name = store.database.name
    async with guarding(mongodb_uri, tmp_path, name, tls=tls_of(certificate)) as guarded:
        async with guarded.client(tls=True, tlsCAFile=str(certificate)) as client:
            await client[name]["numbers"].insert_one({"_id": 1, "text": "x" * 300_000})
            found = await client[name]["numbers"].find_one({"_id": 1})
        assert found == {"_id": 1, "text": "x" * 300_000}


@pytest.mark.parametrize("options", ["tlsCAFile={}", "tlsInsecure=true"])
async def test_the_database_is_reached_by_tls(
    mongodb_uri: str, tmp_path: Path, store: Any, certificate: Path, options: str
) -> None:
    name = store.database.name
    async with terminator(mongodb_uri, certificate) as address:
        uri = f"mongodb://{address}/?tls=true&directConnection=true&{options.format(certificate)}"
        async with guarding(uri, tmp_path, name) as guarded, guarded.client() as client:
            await client[name]["numbers"].insert_one({"_id": 1, "text": "x" * 300_000})
            found = await client[name]["numbers"].find_one({"_id": 1})
    assert found == {"_id": 1, "text": "x" * 300_000}


@pytest.mark.parametrize(("listen", "options"), [("127.0.0.1", ""), ("127.0.0.2", "&tlsCAFile={}")])
async def test_a_database_that_is_not_trusted_gets_nothing(
    mongodb_uri: str, certificate: Path, listen: str, options: str
) -> None:
    async with terminator(mongodb_uri, certificate, listen) as address:
        uri = f"mongodb://{address}/?tls=true{options.format(certificate)}"
        with pytest.raises(DatabaseError, match="certificate verify failed"):
            await Upstream(uri).connect()


async def test_another_name_in_the_certificate_may_be_allowed(
    mongodb_uri: str, certificate: Path
) -> None:
    async with terminator(mongodb_uri, certificate, "127.0.0.2") as address:
        options = f"tls=true&tlsCAFile={certificate}&tlsAllowInvalidHostnames=true"
        connection = await Upstream(f"mongodb://{address}/?{options}").connect()
        assert (await connection.call({"hello": 1, "$db": "admin"}))["ok"] == 1
        await connection.closed()


def test_tls_that_cannot_be_set_up_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(DatabaseError, match="TLS to the database cannot be set up"):
        Upstream(f"mongodb://127.0.0.1/?tls=true&tlsCAFile={tmp_path / 'ca.pem'}")


def test_an_unknown_way_to_log_in_is_told_at_the_start() -> None:
    with pytest.raises(DatabaseError, match="SCRAM-SHA-1"):
        Upstream("mongodb://ada:pw@127.0.0.1/?authMechanism=SCRAM-SHA-1")
