"""Runs an approved write, once: taken up, saved, on record, sent, and its end written down.

Each step is durable before the next one begins, so that a crash between any
two of them leaves a request that ends as executed, not executed or unknown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from blackstart.errors import BlackstartError, StorageError
from blackstart.guard.logins import Login
from blackstart.guard.requests.book import Book
from blackstart.guard.requests.model import Request, State
from blackstart.guard.requests.outcome import Outcome, outcome_of, until_committed
from blackstart.guard.rules import Write
from blackstart.store.threads import in_thread

FAILURE = "the request could not be kept"


@dataclass(frozen=True)
class Saved:
    """What was saved before a write, and the one command that brings it back."""

    snapshot: str
    undo: str


class Trail(Protocol):
    """The audit trail: a line is durable when this returns."""

    async def record(self, action: str, **details: Any) -> None:
        """Raises: StorageError, and then what was to be recorded must not happen."""
        ...


Save = Callable[[Request], Awaitable[Saved]]
Send = Callable[[], Awaitable[Mapping[str, Any]]]


End = Callable[[int, Outcome], Awaitable[None]]


class Run:
    """One request that may be sent now. Exactly one of its methods is called, once.

    When none is, because the guard is no more, the next start finds it unknown.
    """

    def __init__(
        self,
        number: int,
        name: str,
        writes: Sequence[Write],
        end: End,
        *,
        in_transaction: bool = False,
    ) -> None:
        """`name` is the command's, and `writes` are its statements."""
        self.number = number
        self._in_transaction = in_transaction
        self._name = name
        self._writes = writes
        self._end = end

    async def answered(self, answer: Mapping[str, Any]) -> None:
        """The database answered, with success or an error."""
        outcome = outcome_of(answer, self._writes, self._name)
        if self._in_transaction:
            outcome = until_committed(outcome)
        await self._end(self.number, outcome)

    async def not_sent(self) -> None:
        """It did not get to the database at all."""
        text = "not sent: no connection to the database could be had"
        await self._end(self.number, Outcome(State.NOT_EXECUTED, text))

    async def lost(self, why: str = "the connection broke") -> None:
        """It was sent, and no answer came."""
        await self._end(self.number, Outcome(State.UNKNOWN, f"no answer came: {why}"))


class Runner:
    """The only way in which a held write gets to the database."""

    def __init__(self, book: Book, trail: Trail, save: Save) -> None:
        self._book = book
        self._trail = trail
        self._save = save

    async def take_up(
        self,
        number: int,
        login: Login,
        digest: str,
        writes: Sequence[Write] = (),
        *,
        in_transaction: bool = False,
    ) -> Run:
        """Get a request ready to be sent, which the caller does next; succeeds once for each.

        `in_transaction` tells that another command will make it count, or undo it.

        Raises: NotFoundError, SignOffError, ConflictError when it may not run (again);
        StorageError and whatever `save` raises, and then it does not run.
        """
        request = await in_thread(FAILURE, self._book.begin, number, login, digest)
        try:
            await self._prepare(request)
        except BaseException as error:
            await self._end(number, Outcome(State.NOT_EXECUTED, f"not sent: {_told(error)}"))
            raise
        name = next(iter(request.command), "")
        return Run(number, name, writes, self._end, in_transaction=in_transaction)

    async def run(
        self, number: int, login: Login, digest: str, writes: Sequence[Write], send: Send
    ) -> Mapping[str, Any]:
        """Take up a request and send it; returns the database's answer, also one of failure.

        Raises: as `take_up` does, and what `send` raises, and then nobody knows.
        """
        run = await self.take_up(number, login, digest, writes)
        try:
            answer = await send()
        except BaseException as error:
            await run.lost(_told(error))
            raise
        await run.answered(answer)
        return answer

    async def recover(self) -> list[Request]:
        """End what a crash left in the middle, and put it on record.

        Raises: StorageError. Call it before the first write, in the only process that runs any.
        """
        ended = await in_thread(FAILURE, self._book.recover)
        for request in ended:
            await self._record_end(request)
        return ended

    async def _prepare(self, request: Request) -> None:
        """No snapshot, no write; no line in the audit trail, no write."""
        saved = await self._save(request)
        number = request.number
        await in_thread(FAILURE, self._book.note_snapshot, number, saved.snapshot, saved.undo)
        await self._trail.record(
            "write.sent",
            request=number,
            login=request.login,
            digest=request.digest,
            snapshot=saved.snapshot,
            undo=saved.undo,
        )
        await in_thread(FAILURE, self._book.note_sent, number)

    async def _end(self, number: int, outcome: Outcome) -> None:
        request = await in_thread(FAILURE, self._book.end, number, outcome.state, outcome.text)
        await self._record_end(request)

    async def _record_end(self, request: Request) -> None:
        await self._trail.record(
            "write.ended", request=request.number, state=request.state, outcome=request.outcome
        )


def _told(error: BaseException) -> str:
    if isinstance(error, BlackstartError) and not isinstance(error, StorageError):
        return error.message
    return str(error) or type(error).__name__
