"""A server that speaks S3, for the contract of the object store."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

import httpx2
import pytest

_buckets = itertools.count(1)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """Moto's S3 over a real socket; its address."""
    from moto.server import ThreadedMotoServer

    # It logs each request, and a part that arrives after its upload was aborted with a traceback.
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new bucket's URL; the environment leads there."""
    settings = {"ENDPOINT": s3_server, "ALLOW_HTTP": "true", "REGION": "us-east-1"}
    settings |= {"ACCESS_KEY_ID": "test", "SECRET_ACCESS_KEY": "test"}
    for name, value in settings.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    name = f"bucket-{next(_buckets)}"
    httpx2.put(f"{s3_server}/{name}").raise_for_status()
    return f"s3://{name}"


@pytest.fixture
def unfinished_uploads(s3_server: str, bucket: str) -> Iterator[object]:
    """Asks how many multipart uploads the bucket still holds."""

    def count() -> int:
        answer = httpx2.get(f"{s3_server}/{bucket.removeprefix('s3://')}?uploads")
        return answer.raise_for_status().text.count("<UploadId>")

    yield count
