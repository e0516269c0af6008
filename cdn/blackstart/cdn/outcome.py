"""What a request to the origin can come to."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart.cdn.fields.vary import matches
from blackstart.cdn.message import Request, Response, close_body
from blackstart.cdn.rules.decision import has_what_is_asked, is_for_others
from blackstart.cdn.rules.storing import misgiving
from blackstart.cdn.storage.entry import Entry
from blackstart.cdn.storage.intake import Follower, Intake
from blackstart.errors import HopError


@dataclass(frozen=True, slots=True)
class Kept:
    """It is being stored: whoever it fits may read it from `intake` as it comes.

    `leader` is the place of the visitor who caused it, if it comes in pieces;
    `own` are the fields that are for that visitor only.
    """

    entry: Entry
    intake: Intake
    response: Response
    leader: Follower | None = None
    own: tuple[tuple[str, str], ...] = ()

    def stored(self, collapsed: bool) -> bool:
        """Whether this visitor's request fills the cache: a body beyond its bounds does not."""
        return self.intake.keeps and not collapsed

    @property
    def detail(self) -> str:
        """What keeps it from answering others from the cache, in one word; blank for nothing."""
        return misgiving(self.entry) if self.intake.keeps else "too-long"


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
    """An answer for one visitor only, and in one word why; blank where that is plain."""

    response: Response
    detail: str = ""


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
    if isinstance(outcome, Kept) and outcome.leader is not None:
        await outcome.leader.aclose()
    elif isinstance(outcome, Unshared):
        await close_body(outcome.response.body)
    elif isinstance(outcome, Failed) and isinstance(outcome.cause, Response):
        await close_body(outcome.cause.body)


Outcome = Kept | Confirmed | Unshared | Failed


def is_for(outcome: Outcome, request: Request) -> bool:
    """Whether what one visitor waited for may answer whoever sends this request.

    It is for others, of the variant that is asked for, and has the range, if one is.
    """
    if not isinstance(outcome, Kept | Confirmed):
        return isinstance(outcome, Failed)
    entry = outcome.entry
    has_it = entry.part is None or has_what_is_asked(request, entry)
    return has_it and is_for_others(entry) and matches(entry.selecting, request.headers)


def serves(outcome: Outcome, request: Request) -> bool:
    """Whether it also answers another visitor's request now: a body can be read from its start."""
    if not is_for(outcome, request):
        return False
    return not isinstance(outcome, Kept) or outcome.leader is None or outcome.intake.joinable
