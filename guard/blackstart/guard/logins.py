"""Who may come through the guard: logins with their people and roles, kept in one file.

Several logins can belong to one person: sign-off looks at the person, so that
nobody approves a write of their own from a second account. Passwords are not
kept, only what SCRAM-SHA-256 needs to check one (RFC 5802, section 3).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from scramp import ScramException, ScramMechanism

from blackstart.durable import make_folder, replace_file
from blackstart.errors import ConflictError, NotFoundError, StorageError, UsageError

MECHANISM = "SCRAM-SHA-256"
ITERATIONS = 15_000
MIN_PASSWORD = 12
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Role(StrEnum):
    """What a login may do beside what everybody may: read, and ask for a write."""

    REVIEWER = "reviewer"
    """Approves and rejects what others ask for."""
    SERVICE = "service"
    """Is a program of the platform, not a person: its known one-document writes pass."""


@dataclass(frozen=True)
class Secret:
    """What checks a password without knowing it (RFC 5802: salt, i, StoredKey, ServerKey)."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    @classmethod
    def of(cls, password: str) -> Secret:
        """Raises: UsageError for a password that is too short, or that SASLprep does not allow."""
        if len(password) < MIN_PASSWORD:
            raise UsageError(f"a password needs at least {MIN_PASSWORD} characters")
        try:
            made = ScramMechanism(MECHANISM).make_auth_info(password, iteration_count=ITERATIONS)
        except ScramException as error:
            raise UsageError("a password cannot have such characters", hint=str(error)) from error
        salt, stored_key, server_key, iterations = made
        return cls(salt, iterations, stored_key, server_key)

    def is_of(self, password: str) -> bool:
        """Whether this is its password. Blocks for the time that the iterations take."""
        try:
            made = ScramMechanism(MECHANISM).make_auth_info(
                password, iteration_count=self.iterations, salt=self.salt
            )
        except (ScramException, ValueError):
            return False  # SASLprep allows no such password (RFC 4013).
        return hmac.compare_digest(made[1], self.stored_key)


@dataclass(frozen=True)
class Login:
    """One account: its name, whose it is, and its roles."""

    name: str
    person: str
    roles: frozenset[Role]
    secret: Secret

    @property
    def reviews(self) -> bool:
        return Role.REVIEWER in self.roles

    @property
    def is_service(self) -> bool:
        return Role.SERVICE in self.roles


class Logins:
    """All accounts. Every change is on the disk when the call returns."""

    def __init__(self, path: Path) -> None:
        """Raises: StorageError when the file is there and cannot be read as logins."""
        self._path = path
        self._file_state: tuple[int, int, int] | None = None
        self._by_name: dict[str, Login] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the file again if it is another one than last time. Raises: StorageError."""
        state = _state(self._path)
        if state == self._file_state and state is not None:
            return
        self._by_name = _read(self._path)
        self._file_state = state

    def all(self) -> list[Login]:
        """Every login, by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def find(self, name: str) -> Login | None:
        return self._by_name.get(name)

    def add(
        self, name: str, password: str, *, person: str = "", roles: Iterable[Role] = ()
    ) -> Login:
        """Make a login; without `person` it is a person of its own.

        Raises: UsageError for a name or password that will not do, ConflictError when the
        name is taken, StorageError when the file cannot be written.
        """
        for text in (name, person or name):
            if not _NAME.fullmatch(text):
                hint = "use letters, digits, '.', '_', '@' and '-', at most 64"
                raise UsageError(f"{text!r} cannot name a login or a person", hint=hint)
        if name in self._by_name:
            raise ConflictError(f"there is a login {name} already")
        login = Login(name, person or name, frozenset(roles), Secret.of(password))
        self._keep({**self._by_name, name: login})
        return login

    def remove(self, name: str) -> None:
        """Raises: NotFoundError; StorageError when the file cannot be written."""
        if name not in self._by_name:
            raise NotFoundError(f"no login {name!r}")
        self._keep({key: login for key, login in self._by_name.items() if key != name})

    def secret_of(self, name: str) -> Secret:
        """What checks this name's password; of a name that nobody has, a decoy.

        The decoy is the same each time, so that a stranger cannot tell by it who exists.
        """
        login = self._by_name.get(name)
        if login is not None:
            return login.secret
        # Any secret of the file will do as the key: it stays, and nobody outside knows it.
        key = b"".join(login.secret.server_key for login in self.all()[:1]) or b"nobody"
        drawn = hmac.new(key, name.encode(), hashlib.sha512).digest()
        return Secret(drawn[:32], ITERATIONS, drawn[16:48], drawn[32:])

    def _keep(self, logins: Mapping[str, Login]) -> None:
        rows = [_row(logins[name]) for name in sorted(logins)]
        try:
            make_folder(self._path.parent, mode=0o700)
            replace_file(self._path, json.dumps({"logins": rows}, indent=2).encode() + b"\n")
        except OSError as error:
            raise StorageError(f"cannot write {self._path}: {error.strerror}") from error
        self._by_name = dict(logins)
        self._file_state = _state(self._path)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _row(login: Login) -> dict[str, Any]:
    secret = login.secret
    return {
        "name": login.name,
        "person": login.person,
        "roles": sorted(login.roles),
        "salt": base64.b64encode(secret.salt).decode(),
        "iterations": secret.iterations,
        "stored_key": base64.b64encode(secret.stored_key).decode(),
        "server_key": base64.b64encode(secret.server_key).decode(),
    }


def _read(path: Path) -> dict[str, Login]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    try:
        return {row["name"]: _login(row) for row in json.loads(data)["logins"]}
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} holds no logins: {type(error).__name__} {error}") from error


def _login(row: Mapping[str, Any]) -> Login:
    secret = Secret(
        base64.b64decode(row["salt"], validate=True),
        int(row["iterations"]),
        base64.b64decode(row["stored_key"], validate=True),
        base64.b64decode(row["server_key"], validate=True),
    )
    return Login(row["name"], row["person"], frozenset(Role(role) for role in row["roles"]), secret)
