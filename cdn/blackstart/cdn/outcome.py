"""What a request to the origin can come to."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart.cdn.message import Response
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
    """A stored response, brought up to date (RFC 9111 section 4.3.4)."""

    entry: Entry
    status: int = 304


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


Outcome = Kept | Confirmed | Unshared | Failed
