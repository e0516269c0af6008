"""Logins: what is kept, what is refused, and what a stranger can learn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blackstart.errors import ConflictError, NotFoundError, StorageError, UsageError
from blackstart.guard.logins import Logins, Role, Secret

PASSWORD = "correct horse battery"


def test_a_login_is_there_for_whoever_opens_the_file_next(tmp_path: Path) -> None:
    path = tmp_path / "guard" / "logins.json"
    Logins(path).add("ada.ops", PASSWORD, person="ada", roles=[Role.REVIEWER])
    login = Logins(path).find("ada.ops")
    assert login is not None
    assert (login.person, login.reviews, login.is_service) == ("ada", True, False)
    assert PASSWORD not in path.read_text()
    assert path.stat().st_mode & 0o077 == 0


def test_a_change_of_the_file_is_seen_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "logins.json"
    here, there = Logins(path), Logins(path)
    there.add("ada", PASSWORD)
    here.refresh()
    assert here.find("ada") is not None
    there.remove("ada")
    here.refresh()
    assert here.find("ada") is None


@pytest.mark.parametrize("name", ["", "a b", "-x", "a/b", "a" * 65, "a\n", "ädä"])
def test_a_name_that_will_not_do_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name"):
        Logins(tmp_path / "logins.json").add(name, PASSWORD)


def test_names_are_taken_once_and_passwords_have_a_length(tmp_path: Path) -> None:
    logins = Logins(tmp_path / "logins.json")
    logins.add("ada", PASSWORD)
    with pytest.raises(ConflictError):
        logins.add("ada", PASSWORD)
    with pytest.raises(UsageError, match="at least 12"):
        logins.add("bob", "short")
    with pytest.raises(UsageError, match="such characters"):
        logins.add("bob", "correct\x00horse battery")
    with pytest.raises(NotFoundError):
        logins.remove("bob")
    assert [login.name for login in logins.all()] == ["ada"]


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"logins": 3}', '{"logins": [{"name": "ada"}]}', '{"logins": [', "\ufeff{}"],
)
def test_a_damaged_file_is_an_error_and_never_an_empty_list(tmp_path: Path, text: str) -> None:
    path = tmp_path / "logins.json"
    path.write_text(text)
    with pytest.raises(StorageError, match="holds no logins"):
        Logins(path)


def test_an_unknown_role_in_the_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "logins.json"
    Logins(path).add("ada", PASSWORD)
    rows = json.loads(path.read_text())
    rows["logins"][0]["roles"] = ["root"]
    path.write_text(json.dumps(rows))
    with pytest.raises(StorageError, match="root"):
        Logins(path)


def test_a_password_is_known_by_what_scram_keeps_of_it() -> None:
    secret = Secret.of("I\u00adX, correct horse")
    assert secret.is_of("I\u00adX, correct horse") and secret.is_of("IX, correct horse")
    for wrong in ("", "IX, correct Horse", "IX, correct horse ", "\x00", "\ud800"):
        assert not secret.is_of(wrong)


def test_a_decoy_looks_like_a_login_and_stays_the_same(tmp_path: Path) -> None:
    logins = Logins(tmp_path / "logins.json")
    real = logins.add("ada", PASSWORD).secret
    decoy = logins.secret_of("nobody")
    assert decoy == logins.secret_of("nobody") != logins.secret_of("somebody")
    assert decoy.iterations == real.iterations
    for field in ("salt", "stored_key", "server_key"):
        assert len(getattr(decoy, field)) == len(getattr(real, field))
