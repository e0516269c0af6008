"""`blackstart cdn` itself: which settings its node gets, and how it refuses the others."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from blackstart.cdn.settings import CdnSettings

Call = Callable[..., Any]
ORIGIN = "http://127.0.0.1:1"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[CdnSettings]:
    """The settings of the nodes that would have been served."""
    nodes: list[CdnSettings] = []

    async def serve(settings: CdnSettings, sock: socket.socket, **_: object) -> None:
        nodes.append(settings)

    monkeypatch.setattr("blackstart.cdn.serving.serve_node", serve)
    monkeypatch.setattr("blackstart.service.configure_logs", lambda level, form: None)
    monkeypatch.setenv("BLACKSTART_LISTEN", "127.0.0.1:0")
    return nodes


def test_the_environment_counts_where_no_option_is_given(
    call: Call, served: list[CdnSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "ORIGIN_URL": ORIGIN,
        "NODE_NAME": "n7",
        "QUOTAS_MB": '{"free": 3}',
        "CACHE_DIR": "/var/cache/n7",
        "STALE_IF_ERROR": "false",
    }.items():
        monkeypatch.setenv(f"BLACKSTART_{name}", value)
    assert call("cdn").code == 143
    assert call("cdn", "--name", "n8", "--memory", "5", "--disk", "6").code == 143
    first, second = served
    assert (str(first.origin_url), first.node_name) == (f"{ORIGIN}/", "n7")
    assert (str(first.cache_dir), first.stale_if_error) == ("/var/cache/n7", False)
    assert first.quotas_mb == {"free": 3}
    assert (second.node_name, second.quotas_mb, second.disk_quotas_mb) == (
        "n8",
        {"free": 5},
        {"free": 6},
    )


def test_a_node_of_which_little_is_said_has_defaults(call: Call, served: list[CdnSettings]) -> None:
    assert call("cdn", "--origin", ORIGIN).code == 143
    [node] = served
    assert (node.node_name, node.quotas_mb, node.cache_dir) == ("node", {"free": 256}, None)
    assert (node.stale_if_error, node.status_key) == (True, False)
    assert call("cdn", "--origin", ORIGIN, "--no-stale-if-error", "--status-key").code == 143
    assert (served[1].stale_if_error, served[1].status_key) == (False, True)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("QUOTAS_MB", '{"free":', "BLACKSTART_QUOTAS_MB: it is no JSON ("),
        ("QUOTAS_MB", "", "BLACKSTART_QUOTAS_MB: it is no JSON ("),
        ("CACHE_DIR", "", "BLACKSTART_CACHE_DIR: it is blank: "),
        ("LOG_FORMAT", "x", "BLACKSTART_LOG_FORMAT: "),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(
    call: Call,
    served: list[CdnSettings],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    complaint: str,
) -> None:
    monkeypatch.setenv(f"BLACKSTART_{name}", value)
    refused = call("cdn", "--origin", ORIGIN)
    assert (refused.code, refused.out, served) == (2, "", [])
    assert refused.err.startswith(f"error: {complaint}")
    assert refused.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "which origin?"),
        (["--origin", "127.0.0.1:80"], "--origin: '127.0.0.1:80' is no origin's URL: it must"),
        (["--origin", ORIGIN, "--name", "a b"], "--name: 'a b' is no name: "),
        (["--origin", ORIGIN, "--host", "http://a"], "--host: 'http://a' is no host: "),
        (["--origin", ORIGIN, "--memory", "0"], "--memory: "),
        (["--origin", ORIGIN, "--disk", "9"], "--disk bounds a disk cache, and there is none"),
        (["--origin", ORIGIN, "--cache", ""], "--cache: it is blank: "),
        (["--origin", ORIGIN, "--access-log", ""], "--access-log: it is blank: "),
        (["--origin", ORIGIN, "--trusted", "10.0.0.1/8"], "--trusted: 10.0.0.1/8 has host bits"),
        (["--origin", ORIGIN, "--listen", "8080"], "not an address to listen on: '8080'"),
        (["--origin", ORIGIN, "top"], "--origin is for running a node, not for top"),
        (["--no-stale-if-error", "ls"], "--no-stale-if-error is for running a node, not for ls"),
    ],
)
def test_a_wrong_option_is_named_in_one_line(
    call: Call, served: list[CdnSettings], arguments: list[str], complaint: str
) -> None:
    refused = call("cdn", *arguments)
    assert (refused.code, refused.out, served) == (2, "", [])
    assert refused.err.startswith(f"error: {complaint}")
    assert refused.err.count("\n") == 1
    assert "((" not in refused.err and ") (" not in refused.err
