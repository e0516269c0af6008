"""Requests to the origin under way, and the visitors who wait for the same page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from blackstart.cdn.fields.vary import Selecting
from blackstart.cdn.message import Request, close_body, pieces
from blackstart.cdn.origin import Origin
from blackstart.cdn.outcome import Confirmed, Kept, Outcome, give_up, is_for
from blackstart.cdn.storage.cache import Cache
from blackstart.cdn.storage.entry import Entry
from blackstart.clock import Clock, is_paused
from blackstart.errors import HopError

PRIVATE_S = 10.0
PRIVATE_PAGES = 4096


class Slot(NamedTuple):
    """What visitors may wait for together.

    A page, where it is known to vary one variant of it, and where only a range
    of it is asked for that one.
    """

    key: str
    selecting: Selecting = ()
    range: str | None = None

    @property
    def page(self) -> tuple[str, str | None]:
        """The page or its range, whichever variant."""
        return self.key, self.range


class Flight:
    """One request to the origin, in a task of its own: it outlives the visitor who caused it."""

    def __init__(self, clock: Clock, request: Request, held: Entry | None) -> None:
        self.begun_at = clock.time()
        self.request = request
        self.held = held
        self.outcome: Outcome | None = None
        self.error: Exception | None = None
        self.abandoned = False
        self._headed = clock.event()

    async def landed(self) -> Outcome:
        """What it came to, as soon as the head of the answer is there.

        Raises: whatever bug ended it.
        """
        await self._headed.wait()
        if self.outcome is None:
            raise self.error or HopError("the request to the origin was called off")
        return self.outcome

    def settle(self, outcome: Outcome | None, error: Exception | None = None) -> None:
        """Tell those who wait; only the first word counts."""
        if not self._headed.is_set():
            self.outcome, self.error = outcome, error
            self._headed.set()

    @property
    def varies(self) -> tuple[str, ...]:
        """The fields that the answer turned out to depend on."""
        if not isinstance(self.outcome, Kept | Confirmed):
            return ()
        return tuple([name for name, _ in self.outcome.entry.selecting])

    async def abandon(self) -> None:
        """The visitor who caused it is gone: an answer for that one alone is given up."""
        self.abandoned = True
        await give_up(self.outcome)


class Flights:
    """All that is under way. A page is asked for once, however many visitors wait for it."""

    def __init__(self, clock: Clock, cache: Cache, origin: Origin) -> None:
        self._clock = clock
        self._cache = cache
        self._origin = origin
        self._by_slot: dict[Slot, Flight] = {}
        self._under_way: dict[Flight, object] = {}
        self._private: dict[tuple[str, str | None], float] = {}

    def of(self, slot: Slot) -> Flight | None:
        """The flight that a visitor may join."""
        return self._by_slot.get(slot)

    def start(self, slot: Slot, request: Request, held: Entry | None, *, shared: bool) -> Flight:
        """Ask the origin; a `shared` flight may be joined until its answer is stored."""
        flight = Flight(self._clock, request, held)
        if shared:
            self._by_slot[slot] = flight
        self._under_way[flight] = self._clock.spawn(f"fetch {slot.key}", self._fly(slot, flight))
        return flight

    def close_to_joiners(self, keys: Iterable[str] | None) -> None:
        """Nobody joins what is under way for these pages (None: any page): a purge came between."""
        if keys is None:
            self._by_slot.clear()
        else:
            wanted = set(keys)
            for slot in [slot for slot in self._by_slot if slot.key in wanted]:
                del self._by_slot[slot]

    def is_private(self, slot: Slot) -> bool:
        """Whether this page was for one visitor only, not long ago: nobody should wait for it."""
        until = self._private.get(slot.page)
        if until is None:
            return False
        if is_paused(self._clock.time(), until, PRIVATE_S):
            return True
        del self._private[slot.page]
        return False

    async def close(self) -> None:
        """Call off whatever is under way."""
        for spawned in list(self._under_way.values()):
            await self._clock.kill(spawned)

    def __len__(self) -> int:
        return len(self._under_way)

    def _note_private(self, slot: Slot) -> None:
        if len(self._private) >= PRIVATE_PAGES:
            self._private.clear()
        self._private[slot.page] = self._clock.time() + PRIVATE_S

    async def _fly(self, slot: Slot, flight: Flight) -> None:
        fetch = self._cache.begin(slot.key)
        try:
            outcome = await self._origin.ask(flight.request, flight.held, fetch)
            if not is_for(outcome, flight.request) and self._by_slot.get(slot) is flight:
                self._note_private(slot)
            if not isinstance(outcome, Kept):
                flight.settle(outcome)
            elif isinstance(outcome.response.body, bytes):
                outcome.intake.write(outcome.response.body)
                outcome.intake.commit()
                flight.settle(outcome)
            else:
                flight.settle(outcome)
                await _fill(outcome)
            if isinstance(outcome, Kept) and outcome.entry.part is not None:
                await self._origin.join(outcome.entry, fetch)
            if flight.abandoned:
                await give_up(outcome)
        except Exception as error:
            # Whoever waits for it raises it: a bug belongs to its request.
            flight.settle(None, error)
        finally:
            flight.settle(None)
            self._cache.end(fetch)
            if self._by_slot.get(slot) is flight:
                del self._by_slot[slot]
            self._under_way.pop(flight, None)


async def _fill(kept: Kept) -> None:
    """Bring a body from the origin to its intake."""
    try:
        async for chunk in pieces(kept.response.body):
            kept.intake.write(chunk)
            del chunk  # The next one may be long in coming.
            await kept.intake.drain()
            if not kept.intake.joinable and not kept.intake.followers:
                raise HopError("nobody reads this body any more, and it cannot be kept")
        kept.intake.commit()
    except HopError as error:
        kept.intake.abort(error)
    except BaseException:
        kept.intake.abort(HopError("the request to the origin was called off"))
        raise
    finally:
        await close_body(kept.response.body)
