"""A guard that runs, spoken to over MongoDB's own protocol with a person's own login."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from blackstart.cli.guard_door import URI_VARIABLE
from blackstart.errors import BlackstartError, HopError, InvalidDocumentError, UsageError

if TYPE_CHECKING:
    from blackstart.cli.guard_door import Door
    from blackstart.guard.requests import Request

TIMEOUT_MS = 5_000
AUTHENTICATION_FAILED = 18


class GuardRefusedError(BlackstartError):
    """The guard said no, in its own words."""


class GuardClient:
    """One person at one guard.

    Raises (all methods): HopError when nobody answers; GuardRefusedError.
    """

    def __init__(self, door: Door, application: str) -> None:
        """`application` is what the guard's records call this program."""
        self._door = door
        self._mongodb = open_client(door, application)

    def __enter__(self) -> GuardClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._mongodb.close()

    def requests(self, *, everything: bool = False) -> list[Request]:
        """Those that wait for something, or all, oldest first."""
        answer = self._call("guardRequests", 1, all=everything)
        return [_request(row) for row in answer["requests"]]

    def say(self, word: str, number: int, **more: Any) -> Request:
        """One of the guard's own commands about one request; the request as it is then."""
        return _request(self._call(word, number, **more)["request"])

    def show(self, number: int) -> Request:
        return self.say("guardShow", number)

    def _call(self, name: str, value: int, **more: Any) -> dict[str, Any]:
        try:
            return self._mongodb.admin.command(name, value, **more)
        except PyMongoError as error:
            raise told(error, self._door) from error


def open_client(door: Door, application: str, **more: Any) -> MongoClient[dict[str, Any]]:
    """A client that connects when it is first used. Raises: UsageError for what is no address."""
    try:
        return MongoClient(
            door.uri,
            username=door.login,
            password=door.password,
            appname=application,
            directConnection=True,
            serverSelectionTimeoutMS=TIMEOUT_MS,
            **door.options,
            **more,
        )
    except (ConfigurationError, InvalidURI, ValueError) as error:
        raise UsageError(
            f"not the address of a guard: {error}", hint=f"see --guard or {URI_VARIABLE}"
        ) from error


def told(error: PyMongoError, door: Door) -> BlackstartError:
    """What went wrong at a guard, as one line for people."""
    if isinstance(error, OperationFailure):
        if error.code == AUTHENTICATION_FAILED:
            return GuardRefusedError(
                f"the guard does not know {door.login} with this password",
                hint="see `blackstart guard login list`, on the guard's machine",
            )
        return GuardRefusedError(str((error.details or {}).get("errmsg") or error))
    if isinstance(error, ConnectionFailure):
        return HopError(
            f"no guard answers at {door.address}",
            hint=f"is it running, does it want TLS (--tls-ca), and is {URI_VARIABLE} right?",
        )
    return GuardRefusedError(str(error).splitlines()[0])


def _request(row: Any) -> Request:
    from blackstart.guard.requests import Request

    try:
        return Request.decode(json.dumps(row).encode())
    except InvalidDocumentError as error:
        hint = "is it of another version?"
        raise InvalidDocumentError(
            f"the guard answered what is {error.message}", hint=hint
        ) from error
