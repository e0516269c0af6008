"""Consoles: people's shells at the database, told in the channel and on record, both ends of them.

A console holds a connection open and says on it that it is one. So its end is
noticed however it comes: it says goodbye, is killed, or the guard stops.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from blackstart.clock import Clock
from blackstart.errors import StorageError
from blackstart.guard.decisions import Channel
from blackstart.guard.gate import Trail

WHERE_CHARACTERS = 200
_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Console:
    """One that is open: whose it is, from where by its own word and by the connection's."""

    login: str
    person: str
    client: str
    where: str
    began_s: float

    @property
    def whose(self) -> str:
        return f"the console of {self.login} from {self.where or self.client}"


class Consoles:
    """Those that are open at one guard."""

    def __init__(self, trail: Trail, channel: Channel, clock: Clock) -> None:
        self._trail = trail
        self._channel = channel
        self._clock = clock

    async def begin(self, login: str, person: str, client: str, where: str) -> Console:
        """Raises: StorageError when it cannot be put on record: then there is none."""
        kept = where[:WHERE_CHARACTERS]
        console = Console(login, person, client, kept, self._clock.time())
        await self._trail.record(
            "console.began", login=login, person=person, client=client, where=kept
        )
        await self._channel.tell(f"{console.whose} began ({client})")
        return console

    async def end(self, console: Console) -> None:
        """It is over. Never fails: nobody is left who could be told."""
        lasted_s = round(self._clock.time() - console.began_s, 3)
        try:
            await self._trail.record(
                "console.ended",
                login=console.login,
                person=console.person,
                client=console.client,
                where=console.where,
                seconds=lasted_s,
            )
        except StorageError as error:
            _log.error("a console's end is not on record", login=console.login, why=error.message)
        await self._channel.tell(f"{console.whose} ended after {_text(lasted_s)}")


def _text(seconds: float) -> str:
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}"
