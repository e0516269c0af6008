"""What people say about held writes: each word on record first, then in the book, then told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from blackstart.clock import Clock
from blackstart.errors import BlackstartError, UsageError
from blackstart.guard.logins import Login
from blackstart.guard.plain import one_line
from blackstart.guard.requests import Book, Request, State, Trail
from blackstart.guard.requests.book import MAX_REASON
from blackstart.store.threads import in_thread

FAILURE = "the request could not be kept"
LOOK_S = 1.0
"""How often whoever waits looks at the book, which other processes may write to."""


class Channel(Protocol):
    """Where people are told of what is held and decided. It never fails its caller."""

    async def tell(self, text: str, *, request: int | None = None) -> None: ...


class Decisions:
    """Approve, reject, withdraw, break the glass, look at it afterwards; and wait for one.

    Raises (all methods): NotFoundError, SignOffError, ConflictError, UsageError as the book
    does; StorageError when a word cannot be put on record, and then it does not count.
    """

    def __init__(self, book: Book, trail: Trail, channel: Channel, clock: Clock) -> None:
        self.book = book
        self._trail = trail
        self._channel = channel
        self._clock = clock
        self._changed = clock.event()

    async def approve(self, number: int, login: Login, reason: str, digest: str) -> Request:
        """Let it run once; `digest` names what the reviewer was shown."""
        return await self._say(
            "approved",
            number,
            login,
            reason,
            lambda: self.book.approve(number, login, reason, digest=digest),
        )

    async def reject(self, number: int, login: Login, reason: str) -> Request:
        return await self._say(
            "rejected", number, login, reason, lambda: self.book.reject(number, login, reason)
        )

    async def withdraw(self, number: int, login: Login, reason: str = "") -> Request:
        return await self._say(
            "withdrawn", number, login, reason, lambda: self.book.withdraw(number, login, reason)
        )

    async def break_glass(self, number: int, login: Login, reason: str) -> Request:
        return await self._say(
            "allowed alone: the glass is broken",
            number,
            login,
            reason,
            lambda: self.book.break_glass(number, login, reason),
        )

    async def review(self, number: int, login: Login, reason: str) -> Request:
        return await self._say(
            "looked at afterwards",
            number,
            login,
            reason,
            lambda: self.book.review(number, login, reason),
        )

    async def let_through(self, number: int) -> Request:
        """Let it run once although nobody looked at it: sign-off is switched off."""
        await self._trail.record("request.let through", request=number)
        return await in_thread(FAILURE, self.book.let_through, number)

    async def wait(self, number: int, wait_s: float, is_gone: Callable[[], bool]) -> Request:
        """The request when it is no longer held, `wait_s` have passed or the client is gone."""
        ends = self._clock.time() + wait_s
        while True:
            # Taken before the look, so that a word said in between is not slept through.
            changed = self._changed
            request = await in_thread(FAILURE, self.book.get, number)
            left = ends - self._clock.time()
            if request.state is not State.HELD or left <= 0 or is_gone():
                return request
            await changed.wait(min(left, LOOK_S))

    async def _say(
        self, verb: str, number: int, login: Login, reason: str, change: Callable[[], Request]
    ) -> Request:
        if len(reason) > MAX_REASON:
            raise UsageError(f"say it in at most {MAX_REASON} characters")
        reason = one_line(" ".join(reason.split()), MAX_REASON)
        who = {"request": number, "login": login.name, "person": login.person}
        await self._trail.record("request.said", **who, word=verb, reason=reason)
        try:
            request = await in_thread(FAILURE, change)
        except BlackstartError as error:
            await self._trail.record("request.not counted", **who, word=verb, why=error.message)
            raise
        self._changed, changed = self._clock.event(), self._changed
        changed.set()
        said = f": {reason}" if reason else ""
        await self._channel.tell(f"request {number} {verb} by {login.name}{said}", request=number)
        return request
