"""Who is at work in the bucket, told by an object of each: takes that go on, and one collector.

A lease that its holder has not renewed for a quarter of an hour counts for
nothing. Nothing rests on clocks for safety: `collecting` tells what does.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from blackstart.clock import Clock
from blackstart.errors import ConflictError, ObjectNotFoundError
from blackstart.store import ObjectStore

LEASE = timedelta(minutes=15)
RENEW = timedelta(minutes=1)


class Lease:
    """One object that says when its holder was last heard of; `token` tells holders apart.

    Raises (all methods): StorageError.
    """

    def __init__(self, objects: ObjectStore, clock: Clock, key: str, token: str) -> None:
        self._objects = objects
        self._clock = clock
        self._key = key
        self._token = token
        self._renewed: datetime | None = None

    async def claim(self) -> bool:
        """Take it; False when somebody has it, or had it and died."""
        now = self._clock.now()
        if not await self._objects.put_new(self._key, self._text(now)):
            return False
        self._renewed = now
        return True

    async def hold(self) -> None:
        """Renew it when that is due.

        Raises: ConflictError when the last renewal is so long ago that others may have taken
        the holder for dead.
        """
        assert self._renewed is not None, "it was not claimed"
        now = self._clock.now()
        if now - self._renewed >= LEASE:
            raise ConflictError("this stood still for too long", hint="begin again")
        if now - self._renewed >= RENEW:
            await self._objects.put(self._key, self._text(now))
            self._renewed = now

    async def is_mine(self) -> bool:
        """Whether nobody took it since."""
        try:
            text = await self._objects.get(self._key)
        except ObjectNotFoundError:
            return False
        return text.endswith(self._token.encode())

    async def release(self) -> None:
        await self._objects.delete([self._key])

    def _text(self, now: datetime) -> bytes:
        return f"{now.isoformat()} {self._token}".encode()


async def is_live(objects: ObjectStore, clock: Clock, key: str) -> bool:
    """Whether a lease is there and counts."""
    try:
        text = await objects.get(key)
        since = datetime.fromisoformat(text.decode().partition(" ")[0])
    except ObjectNotFoundError:
        return False
    except ValueError:
        # What cannot be read is somebody's: it counts until it is removed by hand.
        return True
    return clock.now() - since < LEASE
