"""Who is at work in the bucket: takes that go on, and the one that collects garbage.

Each says so in an object of its own before it looks for the other, and looks
before it acts: of a take and a collection that begin together at least one
sees the other and steps back (Dekker's rule). A lease that its holder has
not renewed for a quarter of an hour counts for nothing, since who holds it
renews it every minute and gives up by itself when it could not.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from blackstart.clock import Clock
from blackstart.errors import ConflictError, ObjectNotFoundError
from blackstart.store import ObjectStore

LEASE = timedelta(minutes=15)
RENEW = timedelta(minutes=1)


class Lease:
    """One object that says since when its holder was last heard of."""

    def __init__(self, objects: ObjectStore, clock: Clock, key: str) -> None:
        self._objects = objects
        self._clock = clock
        self._key = key
        self._renewed: datetime | None = None

    async def hold(self) -> None:
        """Take it, or renew it when that is due.

        Raises: ConflictError when the last renewal is so long ago that others may have taken
        the holder for dead; StorageError.
        """
        now = self._clock.now()
        if self._renewed is not None:
            if now - self._renewed >= LEASE:
                raise ConflictError("this took too long between two steps", hint="begin again")
            if now - self._renewed < RENEW:
                return
        await self._objects.put(self._key, now.isoformat().encode())
        self._renewed = now

    async def release(self) -> None:
        await self._objects.delete([self._key])


async def live_leases(objects: ObjectStore, clock: Clock, prefix: str) -> list[str]:
    """Keys of the leases below a prefix that count."""
    keys = await objects.list_keys(prefix)
    return [key for key in keys if await _is_live(objects, clock, key)]


async def is_held(objects: ObjectStore, clock: Clock, key: str) -> bool:
    """Whether one lease counts."""
    return await _is_live(objects, clock, key)


async def _is_live(objects: ObjectStore, clock: Clock, key: str) -> bool:
    try:
        since = datetime.fromisoformat((await objects.get(key)).decode())
    except ObjectNotFoundError:
        return False
    except ValueError:
        # Half a lease is somebody's: it counts until it is removed by hand.
        return True
    return clock.now() - since < LEASE
