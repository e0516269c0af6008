"""A request: one held write, from the moment it was held to its end, as it stands on the disk."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from blackstart.errors import InvalidDocumentError
from blackstart.guard.preview import Preview


class State(StrEnum):
    """Where a request stands."""

    HELD = "held"
    """Waits for a reviewer."""
    APPROVED = "approved"
    """May run once, until `run_until`."""
    EXECUTING = "executing"
    """Has been taken up: nobody can take it up again."""
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Nobody decided, or nobody ran it in time."""
    WITHDRAWN = "withdrawn"
    """Its author took it back."""
    EXECUTED = "executed"
    NOT_EXECUTED = "not executed"
    """It was taken up, and did not reach the database or was refused there."""
    UNKNOWN = "unknown"
    """It was sent, and nobody knows what became of it, or how much of it."""


AFTER: dict[State, frozenset[State]] = {
    State.HELD: frozenset({State.APPROVED, State.REJECTED, State.EXPIRED, State.WITHDRAWN}),
    State.APPROVED: frozenset({State.EXECUTING, State.EXPIRED, State.WITHDRAWN}),
    State.EXECUTING: frozenset({State.EXECUTED, State.NOT_EXECUTED, State.UNKNOWN}),
}
"""The states that may follow each; a state that is not here is an end."""


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Decision(_Kept):
    """What one person said about a request, and why."""

    login: str
    person: str
    reason: str
    at: datetime


class Step(_Kept):
    """One change of state."""

    state: State
    at: datetime
    note: str = ""


class Request(_Kept):
    """One held write.

    `digest` names exactly the command that was held. `command` is that command
    for people to read, redacted. `held_until` and `run_until` end the wait for a
    decision and the right to run. `sent_at` is set before the command goes to the
    database, so that after a crash one that was not sent is known not to have
    run. `glass` is the author's own decision, taken alone, which a reviewer has
    to look at afterwards (`review`).
    """

    number: int
    state: State
    login: str
    person: str
    client: str
    at: datetime
    held_until: datetime
    database: str
    command: dict[str, Any]
    digest: str
    kind: str
    why: str
    comment: str = ""
    precious: tuple[str, ...] = ()
    spaces: tuple[tuple[str, str], ...] = ()
    preview: dict[str, Any]
    decision: Decision | None = None
    glass: Decision | None = None
    review: Decision | None = None
    run_until: datetime | None = None
    snapshot: str = ""
    undo: str = ""
    sent_at: datetime | None = None
    outcome: str = ""
    history: tuple[Step, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether something can still become of it."""
        return self.state in AFTER

    @property
    def wants_review(self) -> bool:
        """Whether somebody went alone, and nobody has looked at it since."""
        return self.glass is not None and self.review is None

    def foreseen(self) -> Preview:
        """The preview that was made when it was held. Raises: InvalidDocumentError."""
        try:
            return Preview.of_row(self.preview)
        except ValidationError as error:
            raise InvalidDocumentError(f"request {self.number} has no preview") from error

    def moved(self, state: State, at: datetime, note: str = "", **changes: Any) -> Self:
        """The request in its next state."""
        assert state in AFTER.get(self.state, ()), f"{self.state} to {state}"
        step = Step(state=state, at=at, note=note)
        return self.model_copy(update={**changes, "state": state, "history": (*self.history, step)})

    def encode(self) -> bytes:
        return self.model_dump_json(indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Raises: InvalidDocumentError."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "request"
            raise InvalidDocumentError(f"not a request: {where}: {first['msg']}") from error


class Asked(_Kept):
    """What is known of a write when it is held: what a request begins with."""

    login: str
    person: str
    client: str
    database: str
    command: dict[str, Any]
    digest: str
    kind: str
    why: str
    comment: str = ""
    precious: tuple[str, ...] = ()
    spaces: tuple[tuple[str, str], ...] = ()
    preview: dict[str, Any]
