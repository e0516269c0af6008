"""The gate: reads pass, writes to one document pass on record, all else waits for a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from blackstart.guard.decisions import FAILURE, Channel, Decisions
from blackstart.guard.logins import Login
from blackstart.guard.plain import one_line
from blackstart.guard.preview import Preview, outgrown
from blackstart.guard.proxy.asked import Asked, Passage
from blackstart.guard.proxy.owners import Cursors
from blackstart.guard.requests import Asked as Held
from blackstart.guard.requests import Request, Runner, State
from blackstart.guard.rules import Decision, Judge, Verdict
from blackstart.guard.rules.transactions import Transaction
from blackstart.guard.sessions import Sessions
from blackstart.store.threads import in_thread
from blackstart.wire import CommandError

WAIT_S = 300.0


class Trail(Protocol):
    """The audit trail."""

    async def record(self, action: str, **details: Any) -> None:
        """A line that is durable when this returns. Raises: StorageError."""
        ...

    def note(self, action: str, **details: Any) -> None:
        """A line that is durable soon: for what changes nothing."""
        ...


class Previews(Protocol):
    """Foresees what a held write would do; never fails."""

    async def of(self, verdict: Verdict) -> Preview: ...


class Redact(Protocol):
    """A command as people and the audit trail may see it."""

    def __call__(self, document: Mapping[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True)
class _InTransaction:
    """A signed passage; when it was not sent, the next try is a new request."""

    passage: Passage
    transaction: Transaction
    signed_before: int

    async def answered(self, answer: Mapping[str, Any]) -> None:
        await self.passage.answered(answer)

    async def not_sent(self) -> None:
        self.transaction.committing = False
        self.transaction.signed = self.signed_before
        await self.passage.not_sent()

    async def lost(self) -> None:
        await self.passage.lost()


class GuardGate:
    """Judges each command, holds what needs a second person, and runs an approved one once."""

    def __init__(
        self,
        judge: Judge,
        sessions: Sessions,
        cursors: Cursors,
        previews: Previews,
        decisions: Decisions,
        runner: Runner,
        trail: Trail,
        channel: Channel,
        *,
        redact: Redact,
        wait_s: float = WAIT_S,
        sign_off: bool = True,
    ) -> None:
        """`wait_s` is how long a client's command waits for a decision before it is told.

        Without `sign_off` nobody is asked: what would be held is saved first, and runs.
        """
        self._judge = judge
        self._sessions = sessions
        self._cursors = cursors
        self._previews = previews
        self._decisions = decisions
        self._runner = runner
        self._trail = trail
        self._channel = channel
        self._redact = redact
        self._wait_s = wait_s
        self._sign_off = sign_off

    async def admit(self, asked: Asked) -> Passage | None:
        """Return when a command may run.

        Raises: CommandError for one that is refused, rejected, or still waits; StorageError when
        what has to be on record cannot be.
        """
        login = asked.client.login
        transaction = self._sessions.use(asked.command, login.name)
        verdict = self._judge.judge(asked.command, service=login.name if login.is_service else None)
        if transaction is not None and asked.command.name == "commitTransaction":
            verdict = transaction.judge_commit(asked.command)
        if asked.command.name == "killCursors":
            self._cursors.check_killed(verdict.cursors, login.name)
        else:
            self._cursors.check(verdict.cursors, login.name)
        if verdict.decision is Decision.REFUSE:
            await self._trail.record("command.refused", **self._told(asked, verdict))
            raise CommandError("Unauthorized", f"the guard refuses this: {verdict.reason}")
        passage: Passage | None
        if verdict.decision is Decision.HOLD:
            passage = await self._hold(asked, verdict, transaction)
        else:
            passage = await self._pass(asked, verdict)
        if transaction is None:
            return passage
        before = transaction.signed
        self._note_in(transaction, asked, verdict)
        return passage and _InTransaction(passage, transaction, before)

    def _note_in(self, transaction: Transaction, asked: Asked, verdict: Verdict) -> None:
        if asked.command.name == "commitTransaction":
            transaction.committing = True
        signed = verdict.decision is Decision.HOLD
        transaction.add(verdict, signed=signed)
        if signed:
            transaction.sign()

    async def _pass(self, asked: Asked, verdict: Verdict) -> Passage | None:
        if verdict.is_write:
            await self._trail.record("write.passed", **self._told(asked, verdict))
        else:
            self._trail.note("command.passed", **self._told(asked, verdict))
        return None

    async def _hold(
        self, asked: Asked, verdict: Verdict, transaction: Transaction | None
    ) -> Passage:
        login = asked.client.login
        digest = (
            asked.command.digest if transaction is None else transaction.digest_with(asked.command)
        )
        request = await self._file(asked, verdict, digest)
        if request.state is State.HELD and not self._sign_off:
            request = await self._decisions.let_through(request.number)
        if request.state is State.HELD:
            request = await self._decisions.wait(request.number, self._wait_s, asked.client.is_gone)
        if request.state is not State.APPROVED:
            raise CommandError("Unauthorized", _why_not(request))
        if asked.client.is_gone():
            raise ConnectionError("the client is gone")
        await self._check_outgrown(request, verdict)
        statement = transaction is not None and asked.command.name != "commitTransaction"
        return await self._runner.take_up(
            request.number, login, digest, verdict.writes, in_transaction=statement
        )

    async def _check_outgrown(self, request: Request, verdict: Verdict) -> None:
        """An approval is for what was shown: the data may have changed since.

        Raises: CommandError when the write would do more now.
        """
        if request.decision is None:
            return
        grown = outgrown(request.foreseen(), await self._previews.of(verdict))
        if grown is None:
            return
        number, note = request.number, f"the data changed since it was shown: {grown}"
        await self._trail.record("write.outgrown", request=number, why=grown)
        ended = await in_thread(FAILURE, self._decisions.book.outdate, number, note)
        await self._channel.tell(f"request {number} does not run: {note}", request=number)
        raise CommandError("Unauthorized", f"{_why_not(ended)}; the next try is held anew")

    async def _file(self, asked: Asked, verdict: Verdict, digest: str) -> Request:
        """Put it into the book, unless it is there, and tell people of it."""
        preview = await self._previews.of(verdict)
        login, body = asked.client.login, asked.command.body
        held = Held(
            login=login.name,
            person=login.person,
            client=_from(asked),
            database=str(asked.command.database),
            command=self._redact(body),
            digest=digest,
            kind=verdict.kind,
            why=verdict.reason,
            comment=self._comment(body),
            precious=verdict.precious,
            spaces=verdict.spaces,
            preview=preview.row(),
        )
        request = await in_thread(FAILURE, self._decisions.book.file, held)
        if request.state is State.HELD and len(request.history) == 1:
            await self._trail.record(
                "write.held", request=request.number, digest=digest, **self._told(asked, verdict)
            )
            await self._channel.tell(_announcement(request, login, preview), request=request.number)
        return request

    def _comment(self, body: Mapping[str, Any]) -> str:
        """What the author says about it, as far as people may see it."""
        shown = self._redact({"comment": body.get("comment", "")}).get("comment", "")
        return one_line(shown if isinstance(shown, str) else json.dumps(shown))

    def _told(self, asked: Asked, verdict: Verdict) -> dict[str, Any]:
        return {
            "login": asked.client.login.name,
            "client": _from(asked),
            "database": one_line(str(asked.command.database), 100),
            "kind": str(verdict.kind),
            "why": verdict.reason,
            "command": self._redact(asked.command.body),
        }


def _from(asked: Asked) -> str:
    client = asked.client
    return f"{client.peer.address} {client.application}".strip()


def _announcement(request: Request, login: Login, preview: Preview) -> str:
    lines = [f"request {request.number}: {login.name} wants to run {request.why}"]
    lines += [f"  {one_line(line)}" for line in preview.lines()]
    return "\n".join(lines)


def _why_not(request: Request) -> str:
    number = request.number
    if request.state is State.HELD:
        return (
            f"this write is held as request {number} until a reviewer has approved it; run the "
            f"same command again then (`blackstart guard show {number}` tells where it stands)"
        )
    said = request.history[-1].note
    return (
        f"this write was request {number}, which is {request.state}: {said} "
        f"(`blackstart guard show {number}` shows all of it)"
    )
