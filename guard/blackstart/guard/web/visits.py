"""Who is logged in to the page: visits, known by a secret in a cookie, and lost at a restart."""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from dataclasses import dataclass

from blackstart.clock import Clock
from blackstart.guard.logins import Login, Logins
from blackstart.seed import Seed

LIFE_S = 8 * 3_600
"""A working day: pages that refresh themselves would keep a visit alive for ever otherwise."""
MAX_VISITS = 1_000


@dataclass(frozen=True)
class Visit:
    """One login in one browser. `token` has to stand in every form that comes from it."""

    login: Login
    token: str
    ends: float

    def sent(self, token: str) -> bool:
        """Whether a form with this token came from a page of this visit."""
        return hmac.compare_digest(self.token.encode(), token.encode())


class Visits:
    """All visits, in memory, by the digests of their secrets."""

    def __init__(self, logins: Logins, clock: Clock, seed: Seed) -> None:
        self._logins = logins
        self._clock = clock
        self._seed = seed
        self._by_digest: OrderedDict[str, Visit] = OrderedDict()

    def begin(self, login: Login) -> str:
        """The secret of a new visit. Beyond `MAX_VISITS` the oldest one ends."""
        secret = self._seed.new_secret()
        ends = self._clock.time() + LIFE_S
        self._by_digest[_digest(secret)] = Visit(login, self._seed.new_secret(), ends)
        while len(self._by_digest) > MAX_VISITS:
            self._by_digest.popitem(last=False)
        return secret

    def find(self, secret: str) -> Visit | None:
        """The visit, unless it is over: by time, or because its login was removed or made anew.

        Raises: StorageError when the logins cannot be read.
        """
        visit = self._by_digest.get(_digest(secret))
        if visit is None:
            return None
        self._logins.refresh()
        if visit.ends <= self._clock.time() or self._logins.find(visit.login.name) != visit.login:
            self.end(secret)
            return None
        return visit

    def end(self, secret: str) -> None:
        self._by_digest.pop(_digest(secret), None)


def _digest(secret: str) -> str:
    """What is kept of a secret, and found by: no comparison of secrets takes a telling time."""
    return hashlib.sha256(secret.encode()).hexdigest()
