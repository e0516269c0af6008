"""Tests of the way to an https origin: whom it trusts, and that all else is as without TLS."""

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from blackstart.cdn.hop import UnreachableError
from blackstart.cdn.message import Request

GET = Request("GET", "/", "a.example")
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage"

pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs the openssl command, to make a certificate"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory):
    """A function that makes a self-signed certificate for `name`; its file holds the key too."""
    folder = tmp_path_factory.mktemp("tls")

    def make(name: str) -> Path:
        file = folder / f"{name.replace(':', '-')}.pem"
        command = [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=origin"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", f"subjectAltName={name}", "-keyout", f"{file}.key", "-out", str(file)),
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=20)
        file.write_bytes(file.read_bytes() + Path(f"{file}.key").read_bytes())
        return file

    return make


def serving(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def test_an_origin_that_is_trusted_answers_and_keeps_its_connection(
    origin_of, answering, certificate
) -> None:
    file = certificate("IP:127.0.0.1")
    trust = ssl.create_default_context(cafile=str(file))
    turn = answering(PAGE, b"HTTP/1.1 200 OK\r\n\r\nto the end", close=True)
    async with origin_of(turn, scheme="https", serving=serving(file), tls=trust) as (hop, origin):
        assert (await hop.send(GET)).body == b"page"
        response = await hop.send(GET)
        body = response.body
        assert (body if isinstance(body, bytes) else b"".join([x async for x in body])) == (
            b"to the end"
        )
        assert len(origin.lines) == 1


async def test_an_origin_that_nobody_vouches_for_is_sent_nothing(
    origin_of, answering, certificate
) -> None:
    own = serving(certificate("IP:127.0.0.1"))
    async with origin_of(answering(PAGE), scheme="https", serving=own) as (hop, origin):
        with pytest.raises(UnreachableError, match=r"(?i)certificate verify failed") as failed:
            await hop.send(GET)
        assert "SSL_CERT_FILE" in failed.value.hint
        assert hop.pool.open == 0
        assert origin.lines == []


async def test_a_certificate_for_another_name_is_refused(origin_of, answering, certificate) -> None:
    file = certificate("DNS:other.example")
    trust = ssl.create_default_context(cafile=str(file))
    async with origin_of(answering(PAGE), scheme="https", serving=serving(file), tls=trust) as (
        hop,
        origin,
    ):
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1"):
            await hop.send(GET)
        assert origin.lines == []


async def test_an_origin_that_speaks_no_tls_is_unreachable(origin_of) -> None:
    async def turn(line) -> None:
        await line.say(b"HTTP/1.1 400 Bad\r\n\r\n")
        await line.reader.read()

    async with origin_of(turn, scheme="https") as (hop, _):
        with pytest.raises(UnreachableError):
            await hop.send(GET)
        assert hop.pool.open == 0
