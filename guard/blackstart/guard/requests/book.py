"""The book of requests: who may do what to a held write, and when.

Each method is one durable step. Nothing here runs a write; whoever does takes
it up by `begin`, which succeeds once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from blackstart.clock import Clock
from blackstart.errors import ConflictError, SignOffError, UsageError
from blackstart.guard.logins import Login
from blackstart.guard.requests.folder import RequestFolder
from blackstart.guard.requests.model import AFTER, Asked, Decision, Request, State, Step

MAX_REASON = 2_000


@dataclass(frozen=True)
class Terms:
    """How long things may take, in seconds."""

    decision_s: float = 24 * 3_600.0
    """A request that nobody decided about expires after this."""
    run_s: float = 15 * 60.0
    """An approval is good for so long."""
    keep_s: float = 90 * 24 * 3_600.0
    """Requests that came to an end are kept so long; the audit trail keeps all of them."""


class Book:
    """Raises (all methods): StorageError, InvalidDocumentError when the disk fails."""

    def __init__(self, folder: RequestFolder, clock: Clock, terms: Terms | None = None) -> None:
        self._folder = folder
        self._clock = clock
        self._terms = terms or Terms()

    def get(self, number: int) -> Request:
        """As it is now, expired if it is late. Raises: NotFoundError."""
        found = self._folder.get(number)
        return self._folder.change(number, self._aged) if self._is_late(found) else found

    def all(self) -> list[Request]:
        """Every request, oldest first, each as it is now."""
        return [self.get(request.number) for request in self._folder.all()]

    def open(self) -> list[Request]:
        """Those that wait for something, or were run alone and not looked at since."""
        return [each for each in self.all() if each.is_open or each.wants_review]

    def file(self, asked: Asked) -> Request:
        """Hold a write; the same one from the same login again is the request it was before."""

        def make(number: int, there: list[Request]) -> Request:
            for each in reversed(there):
                if _is_same(each, asked) and self._aged(each).state in (State.HELD, State.APPROVED):
                    return each
            now = self._clock.now()
            rejected = [each.number for each in there if _was_rejected(each, asked)]
            note = f"the same was rejected as request {rejected[-1]}" if rejected else ""
            return Request(
                **dict(asked),
                number=number,
                state=State.HELD,
                at=now,
                held_until=now + timedelta(seconds=self._terms.decision_s),
                history=(Step(state=State.HELD, at=now, note=note),),
            )

        return self._folder.add(make)

    def approve(self, number: int, reviewer: Login, reason: str, *, digest: str) -> Request:
        """Let a request run once; `digest` names what the reviewer has seen.

        Raises: NotFoundError, UsageError without a reason, SignOffError for who may not,
        ConflictError when it is not held or is another command.
        """

        def make(request: Request) -> Request:
            decision = self._decide(request, reviewer, reason, digest)
            return self._moved(
                request, State.APPROVED, _by(decision), decision=decision, run_until=self._run_until
            )

        return self._folder.change(number, make)

    def reject(self, number: int, reviewer: Login, reason: str) -> Request:
        """Raises: as `approve` does."""

        def make(request: Request) -> Request:
            decision = self._decide(request, reviewer, reason, request.digest)
            return self._moved(request, State.REJECTED, _by(decision), decision=decision)

        return self._folder.change(number, make)

    def withdraw(self, number: int, login: Login, note: str = "") -> Request:
        """The author takes it back. Raises: NotFoundError, SignOffError, ConflictError."""

        def make(request: Request) -> Request:
            check_owner(request, login)
            return self._moved(request, State.WITHDRAWN, note or f"by {login.name}")

        return self._folder.change(number, make)

    def outdate(self, number: int, note: str) -> Request:
        """An approval ends because the write would do more now than was shown.

        Raises: NotFoundError, ConflictError when it is not approved.
        """

        def make(request: Request) -> Request:
            if request.state is not State.APPROVED:
                raise ConflictError(f"request {number} is {request.state}")
            return self._moved(request, State.EXPIRED, note)

        return self._folder.change(number, make)

    def break_glass(self, number: int, login: Login, reason: str) -> Request:
        """The author goes alone; somebody has to look at it afterwards.

        Raises: NotFoundError, UsageError, SignOffError for a service or somebody else,
        ConflictError when it is not held.
        """

        def make(request: Request) -> Request:
            check_author(request, login)
            glass = self._said(login, reason)
            note = f"glass broken by {login.name}: {glass.reason}"
            return self._moved(
                request, State.APPROVED, note, glass=glass, run_until=self._run_until
            )

        return self._folder.change(number, make)

    def let_through(self, number: int) -> Request:
        """Let a request run once although nobody looked at it: sign-off is switched off.

        Raises: NotFoundError, ConflictError when it is not held.
        """

        def make(request: Request) -> Request:
            note = "nobody was asked: sign-off is off"
            return self._moved(request, State.APPROVED, note, run_until=self._run_until)

        return self._folder.change(number, make)

    def review(self, number: int, reviewer: Login, reason: str) -> Request:
        """Look at a broken glass afterwards.

        Raises: NotFoundError, UsageError, SignOffError, ConflictError when there is none.
        """

        def make(request: Request) -> Request:
            if not request.wants_review:
                raise ConflictError(f"request {number} has no broken glass to look at")
            check_reviewer(request, reviewer)
            said = self._said(reviewer, reason)
            step = Step(state=request.state, at=said.at, note=f"looked at by {_by(said)}")
            return request.model_copy(update={"review": said, "history": (*request.history, step)})

        return self._folder.change(number, make)

    def begin(self, number: int, login: Login, digest: str) -> Request:
        """Take up an approved write to run it: succeeds once, for exactly what was approved.

        Raises: NotFoundError, SignOffError for another login, ConflictError.
        """

        def make(request: Request) -> Request:
            if login.name != request.login:
                raise SignOffError(f"request {number} is another login's")
            if digest != request.digest:
                raise ConflictError(f"request {number} is about another command")
            return self._moved(request, State.EXECUTING, f"by {login.name}")

        return self._folder.change(number, make)

    def note_snapshot(self, number: int, snapshot: str, undo: str) -> Request:
        """Keep what was saved before it runs, and the command that undoes it.

        Raises: ConflictError when it is not about to be sent.
        """

        def make(request: Request) -> Request:
            _check_unsent(request)
            return request.model_copy(update={"snapshot": snapshot, "undo": undo})

        return self._folder.change(number, make)

    def note_sent(self, number: int) -> Request:
        """From here on a crash leaves it unknown. Raises: ConflictError when it was sent before."""

        def make(request: Request) -> Request:
            _check_unsent(request)
            return request.model_copy(update={"sent_at": self._clock.now()})

        return self._folder.change(number, make)

    def end(self, number: int, state: State, outcome: str) -> Request:
        """What became of it. Raises: ConflictError when it was not taken up."""
        return self._folder.change(
            number, lambda request: self._moved(request, state, outcome, outcome=outcome)
        )

    def recover(self) -> list[Request]:
        """After a crash: whatever was taken up ends. Only the process that runs writes may call it.

        What was not sent was not executed; what was is unknown.
        """
        return [
            self._folder.change(each.number, self._ended)
            for each in self._folder.all()
            if each.state is State.EXECUTING
        ]

    def prune(self) -> int:
        """Forget what came to its end long ago; returns how many."""
        oldest = self._clock.now() - timedelta(seconds=self._terms.keep_s)
        old = [
            each.number
            for each in self.all()
            if not each.is_open and not each.wants_review and each.history[-1].at < oldest
        ]
        for number in old:
            self._folder.remove(number)
        return len(old)

    @property
    def _run_until(self) -> datetime:
        return self._clock.now() + timedelta(seconds=self._terms.run_s)

    def _decide(self, request: Request, reviewer: Login, reason: str, digest: str) -> Decision:
        check_reviewer(request, reviewer)
        if digest != request.digest:
            raise ConflictError(f"request {request.number} is about another command")
        return self._said(reviewer, reason)

    def _said(self, login: Login, reason: str) -> Decision:
        text = " ".join(reason.split())
        if not text or len(text) > MAX_REASON:
            raise UsageError(f"say why, in at most {MAX_REASON} characters")
        return Decision(login=login.name, person=login.person, reason=text, at=self._clock.now())

    def _moved(self, request: Request, state: State, note: str, **changes: object) -> Request:
        aged = self._aged(request)
        if state not in AFTER.get(aged.state, ()):
            raise ConflictError(
                f"request {request.number} is {aged.state} and cannot become {state}",
                hint=f"`blackstart guard show {request.number}` tells how it came to that",
            )
        return request.moved(state, self._clock.now(), note, **changes)

    def _ended(self, request: Request) -> Request:
        now = self._clock.now()
        if request.sent_at is None:
            note = "the guard stopped before it was sent"
            return request.moved(State.NOT_EXECUTED, now, note, outcome=note)
        note = "the guard stopped after it was sent: look whether it ran, and how far"
        return request.moved(State.UNKNOWN, now, note, outcome=note)

    def _is_late(self, request: Request) -> bool:
        ends = request.held_until if request.state is State.HELD else request.run_until
        waits = request.state in (State.HELD, State.APPROVED)
        return waits and ends is not None and ends <= self._clock.now()

    def _aged(self, request: Request) -> Request:
        if not self._is_late(request):
            return request
        what = "nobody decided" if request.state is State.HELD else "nobody ran it"
        return request.moved(State.EXPIRED, self._clock.now(), f"{what} in time")


def check_reviewer(request: Request, login: Login) -> None:
    """Raises: SignOffError for who may not decide about a request."""
    if login.person == request.person or login.name == request.login:
        raise SignOffError(
            "nobody signs off a write of their own", hint="ask somebody else of the reviewers"
        )
    if not login.reviews or login.is_service:
        raise SignOffError(f"{login.name} is not a reviewer")


def check_owner(request: Request, login: Login) -> None:
    """Raises: SignOffError for who may not withdraw a request."""
    if login.person != request.person:
        raise SignOffError(f"request {request.number} is not yours to withdraw")


def check_author(request: Request, login: Login) -> None:
    """Raises: SignOffError for who may not break the glass."""
    if login.is_service or login.person != request.person or login.name != request.login:
        raise SignOffError(f"only {request.login}, who asked for it, can break the glass")


def _check_unsent(request: Request) -> None:
    if request.state is not State.EXECUTING or request.sent_at is not None:
        raise ConflictError(f"request {request.number} is {request.state} and cannot be sent")


def _by(decision: Decision) -> str:
    return f"{decision.login}: {decision.reason}"


def _is_same(request: Request, asked: Asked) -> bool:
    return (request.digest, request.login) == (asked.digest, asked.login)


def _was_rejected(request: Request, asked: Asked) -> bool:
    return request.state is State.REJECTED and request.digest == asked.digest
