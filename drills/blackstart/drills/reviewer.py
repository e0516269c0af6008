"""The second engineer: reads the preview of a held write, and says yes or no.

What such a person makes of a preview is an input, as all that people do. What
stands in the preview is the guard's own finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blackstart.clock import Clock, Event
from blackstart.guard.decisions import Decisions
from blackstart.guard.logins import Login
from blackstart.guard.preview import Preview
from blackstart.guard.requests import Request, State
from blackstart.seed import Seed
from blackstart.store.threads import in_thread

READING_S = (60.0, 180.0)


@dataclass(frozen=True)
class Word:
    """What a person says about a held write."""

    approve: bool
    reason: str


Review = Callable[[Preview], Word]


def careful(preview: Preview) -> Word:
    """No to whatever loses fields that nobody asked to remove, and to what nobody can foresee."""
    lost = {path for part in preview.parts for path in part.dropped}
    if lost:
        return Word(False, f"nobody asked to lose {', '.join(sorted(lost))}")
    if preview.notes or any(part.matched is None for part in preview.parts):
        return Word(False, "nobody can tell what it would do")
    return Word(True, "it changes what it says, and nothing else")


class Reviewer:
    """Waits to be called, reads what is held, and decides about what others asked for."""

    def __init__(
        self,
        decisions: Decisions,
        login: Login,
        review: Review,
        called: Event,
        clock: Clock,
        seed: Seed,
    ) -> None:
        self._decisions = decisions
        self._login = login
        self._review = review
        self._called = called
        self._clock = clock
        self._random = seed.fork("reviewer").random

    async def watch(self) -> None:
        """Until killed."""
        while True:
            await self._called.wait()
            self._called.clear()
            for request in await in_thread("", self._decisions.book.open):
                if request.state is State.HELD and request.person != self._login.person:
                    await self._clock.sleep(self._random.uniform(*READING_S))
                    await self._say(request)

    async def _say(self, request: Request) -> None:
        word = self._review(request.foreseen())
        number = request.number
        if word.approve:
            await self._decisions.approve(number, self._login, word.reason, request.digest)
        else:
            await self._decisions.reject(number, self._login, word.reason)
