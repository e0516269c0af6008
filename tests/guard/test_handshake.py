"""Logging in: SCRAM-SHA-256 in MongoDB's documents, against a client of another make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bson import Binary
from scramp import ScramClient

from blackstart.errors import UnauthorizedError
from blackstart.guard.handshake import Handshake
from blackstart.guard.logins import Login, Logins

PASSWORD = "correct horse battery"


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    made = Logins(tmp_path / "logins.json")
    made.add("ada", PASSWORD)
    return made


def start(handshake: Handshake, client: ScramClient, *, skip: bool = True) -> dict[str, Any]:
    command = {
        "saslStart": 1,
        "mechanism": "SCRAM-SHA-256",
        "payload": Binary(client.get_client_first().encode()),
        "options": {"skipEmptyExchange": skip},
    }
    return handshake.start(command, "admin")


def go_on(handshake: Handshake, payload: str) -> tuple[dict[str, Any], Login | None]:
    command = {"saslContinue": 1, "conversationId": 1, "payload": Binary(payload.encode())}
    return handshake.go_on(command)


def prove(
    handshake: Handshake, name: str, password: str, *, skip: bool = True
) -> tuple[dict[str, Any], Login | None]:
    client = ScramClient(["SCRAM-SHA-256"], name, password)
    client.set_server_first(start(handshake, client, skip=skip)["payload"].decode())
    answer, login = go_on(handshake, client.get_client_final())
    client.set_server_final(answer["payload"].decode())
    return answer, login


def test_the_right_password_gives_the_login_and_proves_the_guard(logins: Logins) -> None:
    answer, login = prove(Handshake(logins), "ada", PASSWORD)
    assert answer["done"]
    assert login == logins.find("ada")


def test_an_old_driver_is_in_after_one_more_empty_exchange(logins: Logins) -> None:
    handshake = Handshake(logins)
    answer, login = prove(handshake, "ada", PASSWORD, skip=False)
    assert (answer["done"], login) == (False, None)
    answer, login = go_on(handshake, "")
    assert (answer["done"], login) == (True, logins.find("ada"))


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong password"), ("bob", PASSWORD)])
def test_a_wrong_password_and_an_unknown_name_fail_at_the_same_step(
    logins: Logins, name: str, password: str
) -> None:
    with pytest.raises(UnauthorizedError, match="wrong name or password"):
        prove(Handshake(logins), name, password)


def test_a_login_removed_meanwhile_is_not_let_in(logins: Logins) -> None:
    handshake = Handshake(logins)
    prove(handshake, "ada", PASSWORD, skip=False)
    logins.remove("ada")
    with pytest.raises(UnauthorizedError):
        go_on(handshake, "")


def test_an_empty_exchange_proves_nothing(logins: Logins) -> None:
    handshake = Handshake(logins)
    with pytest.raises(UnauthorizedError, match="no conversation"):
        go_on(handshake, "")
    client = ScramClient(["SCRAM-SHA-256"], "ada", PASSWORD)
    start(handshake, client)
    with pytest.raises(UnauthorizedError):
        go_on(handshake, "")
    with pytest.raises(UnauthorizedError):
        go_on(handshake, "")


def test_a_proof_counts_once(logins: Logins) -> None:
    handshake = Handshake(logins)
    client = ScramClient(["SCRAM-SHA-256"], "ada", PASSWORD)
    client.set_server_first(start(handshake, client)["payload"].decode())
    final = client.get_client_final()
    assert go_on(handshake, final)[1] is not None
    with pytest.raises(UnauthorizedError):
        go_on(handshake, final)


@pytest.mark.parametrize(
    "change",
    [
        {"mechanism": "PLAIN"},
        {"mechanism": "SCRAM-SHA-1"},
        {"payload": "text"},
        {"payload": Binary(b"\xff\xfe")},
        {"payload": Binary(b"n,,n=ada")},
        {"payload": Binary(b"n,,n=ada,r=" + b"x" * 5_000)},
        {"payload": Binary(b"")},
        {"payload": None},
    ],
)
def test_a_malformed_start_is_refused(logins: Logins, change: dict[str, Any]) -> None:
    client = ScramClient(["SCRAM-SHA-256"], "ada", PASSWORD)
    first = Binary(client.get_client_first().encode())
    command = {"saslStart": 1, "mechanism": "SCRAM-SHA-256", "payload": first, **change}
    with pytest.raises(UnauthorizedError):
        Handshake(logins).start(command, "admin")


@pytest.mark.parametrize("final", ["c=biws", "c=biws,r=x,p=!!!", "p=,r=,c=", "c=biws,r=ä,p=ä"])
def test_a_malformed_proof_is_refused(logins: Logins, final: str) -> None:
    handshake = Handshake(logins)
    start(handshake, ScramClient(["SCRAM-SHA-256"], "ada", PASSWORD))
    with pytest.raises(UnauthorizedError):
        go_on(handshake, final)


def test_logins_live_in_admin(logins: Logins) -> None:
    with pytest.raises(UnauthorizedError, match="authSource=admin"):
        Handshake(logins).start({"saslStart": 1, "mechanism": "SCRAM-SHA-256"}, "blackstart")
