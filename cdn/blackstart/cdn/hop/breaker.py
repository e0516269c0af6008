"""When a failing origin is left alone: a breaker as a state machine without a clock of its own."""

from __future__ import annotations

from collections import deque
from enum import Enum

from blackstart.clock import is_paused


class State(Enum):
    """What a breaker does with the next request."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """Opens after `in_row` failures, or when too many of the requests in `window_s` seconds fail.

    Too many are `share` of them, where there were at least `least`.

    Open, it admits nothing for `open_s` seconds, or as long as the origin asked
    for. Then it is half-open: one request at a time is let through, a success
    closes it and a failure opens it again. Outcomes count only in the state that
    their request was admitted in, so that late ones neither close nor open it.
    Times are seconds on whatever clock the caller has.
    """

    def __init__(
        self,
        *,
        in_row: int = 10,
        share: float = 0.5,
        least: int = 20,
        window_s: float = 10.0,
        open_s: float = 5.0,
    ) -> None:
        self._in_row = in_row
        self._open_s = open_s
        self._recent = _Recent(window_s, least, share)
        self._failures_in_row = 0
        self._open = False
        self._until = 0.0
        self._length_s = 0.0
        self._probe = False
        self._term = 0

    def state(self, now: float) -> State:
        if not self._open:
            return State.CLOSED
        return State.OPEN if self.wait_s(now) else State.HALF_OPEN

    def wait_s(self, now: float) -> float:
        """Seconds that it stays open; 0: a request may be admitted, now or once a probe is back."""
        is_left_alone = self._open and is_paused(now, self._until, self._length_s)
        return self._until - now if is_left_alone else 0.0

    def admit(self, now: float) -> int | None:
        """A ticket for one request, to be given back with its outcome; None: do not send it."""
        if self._open:
            if self._probe or self.wait_s(now):
                return None
            self._probe = True
        return self._term

    def succeeded(self, ticket: int, now: float) -> bool:
        """The request that `ticket` was for had an answer; whether that closes the breaker."""
        if ticket != self._term:
            return False
        if self._open:
            self._turn(is_open=False)
            return True
        self._failures_in_row = 0
        self._recent.add(now, failed=False)
        return False

    def failed(self, ticket: int, now: float, asked_s: float = 0.0) -> None:
        """The request had none, or one that asks to be left alone for `asked_s` seconds."""
        if ticket != self._term:
            return
        if not self._open:
            self._failures_in_row += 1
            self._recent.add(now, failed=True)
            if self._failures_in_row < self._in_row and not self._recent.too_many():
                return
        self._turn(is_open=True)
        self._length_s = max(self._open_s, asked_s)
        self._until = now + self._length_s

    def gave_up(self, ticket: int) -> None:
        """Nobody waited for the outcome, or it says nothing about the origin."""
        if ticket == self._term:
            self._probe = False

    def _turn(self, *, is_open: bool) -> None:
        self._open = is_open
        self._probe = False
        self._term += 1
        self._failures_in_row = 0
        self._recent.clear()


class _Recent:
    """Requests and failures of the last `window_s` seconds, counted by tenths of them."""

    def __init__(self, window_s: float, least: int, share: float) -> None:
        self._slot_s = window_s / 10
        self._least = least
        self._share = share
        self._slots: deque[list[int]] = deque()  # number of the slot, requests, failures
        self._requests = 0
        self._failures = 0

    def add(self, now: float, *, failed: bool) -> None:
        slots = self._slots
        number = int(now / self._slot_s)
        if slots and slots[-1][0] > number:
            self.clear()  # The clock was set back: who knows how long ago that was.
        if not slots or slots[-1][0] < number:
            slots.append([number, 0, 0])
            while slots[0][0] <= number - 10:
                _, requests, failures = slots.popleft()
                self._requests -= requests
                self._failures -= failures
        slots[-1][1] += 1
        slots[-1][2] += failed
        self._requests += 1
        self._failures += failed

    def too_many(self) -> bool:
        return self._requests >= self._least and self._failures >= self._share * self._requests

    def clear(self) -> None:
        self._slots.clear()
        self._requests = self._failures = 0
