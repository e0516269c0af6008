"""What a request to the origin can come to."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart.cdn.message import Response, close_body
from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.storage.intake import Intake
from blackstart.errors import HopError


@dataclass(frozen=True, slots=True)
class Kept:
    """It is being stored: whoever it fits may read it from `intake` as it comes."""

    entry: Entry
    intake: Intake
    response: Response


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A stored response, brought up to date (RFC 9111 section 4.3.4).

    `body` is its body where it could not stay in the cache.
    """

    entry: Entry
    status: int = 304
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Unshared:
    """An answer for one visitor only."""

    response: Response


@dataclass(frozen=True, slots=True)
class Failed:
    """The origin gave no answer, or one that says it failed."""

    cause: HopError | Response

    @property
    def status(self) -> int | None:
        """The origin's status code, if it gave one."""
        return self.cause.status if isinstance(self.cause, Response) else None


async def give_up(outcome: Outcome | None) -> None:
    """Free what nobody will read."""
    if isinstance(outcome, Unshared):
        await close_body(outcome.response.body)
    elif isinstance(outcome, Failed) and isinstance(outcome.cause, Response):
        await close_body(outcome.cause.body)


Outcome = Kept | Confirmed | Unshared | Failed
