"""Who is at work in the bucket, told by an object of each: takes, one collector, one schedule.

A lease that its holder has not renewed for a while, a quarter of an hour unless
told otherwise, counts for nothing. Nothing rests on clocks for safety:
`collecting` tells what does.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from blackstart.clock import Clock
from blackstart.errors import ConflictError, ObjectNotFoundError, StorageError
from blackstart.store import ObjectStore

LEASE = timedelta(minutes=15)
RENEWALS = 15
"""So many times within its length a lease is renewed."""


class Lease:
    """One object that says when its holder was last heard of; `token` tells holders apart.

    Raises (all methods): StorageError.
    """

    def __init__(
        self,
        objects: ObjectStore,
        clock: Clock,
        key: str,
        token: str,
        *,
        length: timedelta = LEASE,
    ) -> None:
        self._objects = objects
        self._clock = clock
        self._key = key
        self._token = token
        self._length = length
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
        if now - self._renewed >= self._length:
            raise ConflictError("this stood still for too long", hint="begin again")
        if now - self._renewed >= self._length / RENEWALS:
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


class Lock:
    """One at a time below a prefix: the lease with the highest number is who it is.

    Raises (all methods): StorageError, but for `release`.
    """

    def __init__(
        self,
        objects: ObjectStore,
        clock: Clock,
        prefix: str,
        token: str,
        *,
        length: timedelta = LEASE,
    ) -> None:
        self._objects = objects
        self._clock = clock
        self._prefix = prefix
        self._token = token
        self._length = length
        self._key = ""
        self._lease: Lease | None = None

    async def take(self) -> bool:
        """Take it; False when somebody has it."""
        keys = await self._objects.list_keys(self._prefix)
        if keys and await is_live(self._objects, self._clock, keys[-1], length=self._length):
            return False
        number = int(keys[-1].removeprefix(self._prefix)) + 1 if keys else 1
        self._key = f"{self._prefix}{number:010}"
        self._lease = Lease(self._objects, self._clock, self._key, self._token, length=self._length)
        if not await self._lease.claim():
            return False
        await self._objects.delete(keys)
        return True

    async def hold(self) -> None:
        """Renew it when that is due. Raises: ConflictError when that is too late."""
        assert self._lease is not None, "it was not taken"
        await self._lease.hold()

    async def is_mine(self) -> bool:
        """Whether nobody took it since."""
        keys = await self._objects.list_keys(self._prefix)
        assert self._lease is not None, "it was not taken"
        return keys[-1:] == [self._key] and await self._lease.is_mine()

    async def release(self) -> None:
        """Let go of it; where that fails, time will tell."""
        with suppress(StorageError):
            if await self.is_mine():
                await self._objects.delete([self._key])


async def is_live(
    objects: ObjectStore, clock: Clock, key: str, *, length: timedelta = LEASE
) -> bool:
    """Whether a lease is there and counts."""
    try:
        text = await objects.get(key)
        since = datetime.fromisoformat(text.decode().partition(" ")[0])
    except ObjectNotFoundError:
        return False
    except ValueError:
        # What cannot be read is somebody's: it counts until it is removed by hand.
        return True
    return clock.now() - since < length
