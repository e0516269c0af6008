"""Cursors: results handed out in batches, held within bounds, forgotten when nobody asks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from bson.raw_bson import RawBSONDocument

from blackstart.clock import Clock
from blackstart.recovery.mount.budget import Budget
from blackstart.seed import Seed
from blackstart.wire import CommandError

TIMEOUT_S = 600.0
"""MongoDB's `cursorTimeoutMillis`."""
MAX_CURSORS = 100
MAX_BATCH_BYTES = 16 * 1024 * 1024
FIRST_BATCH = 101
"""How many documents MongoDB gives at first when a client does not say."""


@dataclass
class Cursor:
    """One result under way; `budget` is that of the command that now draws from it."""

    namespace: str
    documents: AsyncIterator[bytes]
    budget: Budget
    ahead: list[bytes] = field(default_factory=list)
    used_at: float = 0.0
    in_use: bool = False

    async def batch(self, count: int | None) -> list[RawBSONDocument]:
        """The next documents, as many as were asked for and fit into an answer."""
        taken: list[RawBSONDocument] = []
        taken_bytes = 0
        while count is None or len(taken) < count:
            raw = await self._next()
            if raw is None:
                break
            # One document always fits, however large: nothing would move otherwise.
            if taken and taken_bytes + len(raw) > MAX_BATCH_BYTES:
                self.ahead.append(raw)
                return taken
            taken.append(RawBSONDocument(raw))
            taken_bytes += len(raw)
        return taken

    async def _next(self) -> bytes | None:
        if self.ahead:
            return self.ahead.pop()
        return await anext(self.documents, None)

    async def is_exhausted(self) -> bool:
        """Looks one document ahead, so that a client is not sent for an empty batch."""
        raw = await self._next()
        if raw is None:
            return True
        self.ahead.append(raw)
        return False


class Cursors:
    """The open cursors of a server, by number; any connection may go on with one."""

    def __init__(
        self,
        clock: Clock,
        seed: Seed,
        *,
        timeout_s: float = TIMEOUT_S,
        max_cursors: int = MAX_CURSORS,
    ) -> None:
        self._clock = clock
        self._random = seed.fork("cursors").random
        self._timeout_s = timeout_s
        self._max_cursors = max_cursors
        # The one that was used last is the last.
        self._open: OrderedDict[int, Cursor] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, cursor: Cursor) -> int:
        """Keep a cursor; past the limit the one that was idle longest is forgotten."""
        self.forget_idle()
        while len(self._open) >= self._max_cursors:
            self._open.popitem(last=False)
        number = 0
        while not number or number in self._open:
            number = self._random.getrandbits(62)
        cursor.used_at = self._clock.time()
        self._open[number] = cursor
        return number

    def take(self, number: int, namespace: str) -> Cursor:
        """A cursor to draw from; `give_back` it. Raises: CommandError."""
        self.forget_idle()
        cursor = self._open.get(number)
        if cursor is None:
            raise CommandError("CursorNotFound", f"cursor id {number} not found")
        if cursor.namespace != namespace:
            told = f"cursor {number} belongs to {cursor.namespace}, not to {namespace}"
            raise CommandError("Unauthorized", told)
        if cursor.in_use:
            raise CommandError("CursorInUse", f"cursor id {number} is already in use")
        cursor.in_use = True
        return cursor

    def give_back(self, number: int, cursor: Cursor, *, keep: bool) -> None:
        """Unless it was killed meanwhile, it stays or goes as told."""
        cursor.in_use = False
        cursor.used_at = self._clock.time()
        if number in self._open:
            if keep:
                self._open.move_to_end(number)
            else:
                del self._open[number]

    def kill(self, number: int, namespace: str) -> bool:
        """Whether there was such a cursor."""
        cursor = self._open.get(number)
        if cursor is None or cursor.namespace != namespace:
            return False
        del self._open[number]
        return True

    def forget_idle(self) -> None:
        """Drop those that nobody has asked for since the timeout."""
        oldest = self._clock.time() - self._timeout_s
        for number, cursor in list(self._open.items()):
            if cursor.used_at < oldest and not cursor.in_use:
                del self._open[number]
