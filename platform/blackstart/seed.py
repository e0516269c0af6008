"""Randomness as an object: one seed, forked by name, so that a run can be repeated."""

from __future__ import annotations

import base64
import hashlib
import random
import secrets


class Seed:
    """A named branch of one root seed.

    Two forks with different names are independent, and adding a fork never
    changes what another one draws.
    """

    def __init__(self, root: int, name: str = "", *, guessable: bool = True) -> None:
        self.root = root
        self.name = name
        self._guessable = guessable
        digest = hashlib.sha256(f"{root}/{name}".encode()).digest()
        self.random = random.Random(int.from_bytes(digest[:16], "big"))

    @classmethod
    def from_entropy(cls) -> Seed:
        """A seed nobody can guess: what every server runs on."""
        return cls(secrets.randbits(128), guessable=False)

    def fork(self, name: str) -> Seed:
        """The branch called `name`; the same name always gives the same branch."""
        return Seed(self.root, f"{self.name}/{name}", guessable=self._guessable)

    def new_id(self) -> str:
        """A fresh document id: 24 hex digits, as deploy ids are written in URLs."""
        return f"{self.random.getrandbits(96):024x}"

    def new_secret(self) -> str:
        """A fresh secret of 256 bits: 43 characters that are safe in URLs.

        A seed from entropy takes each from the system: the numbers of `random`
        can be foretold by whoever has seen enough of them, as ids are seen.
        Any other seed repeats itself, which is what a drill wants.
        """
        return base64.urlsafe_b64encode(self.new_bytes(32)).rstrip(b"=").decode()

    def new_bytes(self, count: int) -> bytes:
        """Fresh bytes that nobody can foretell, on the same terms."""
        return self.random.randbytes(count) if self._guessable else secrets.token_bytes(count)
