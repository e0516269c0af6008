"""Making, revoking and checking the tokens that the API asks for."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta

from blackstart.clock import Clock
from blackstart.errors import UnauthorizedError, UsageError
from blackstart.model import Scope, Token
from blackstart.seed import Seed
from blackstart.store import MetadataStore

_SECRET_TEXT = re.compile(r"bst_([0-9a-f]{24})_([A-Za-z0-9_-]{43})")
_NO_DIGEST = "0" * 64
_NAME = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,58}[\x21-\x7e])?")
ASK_FOR_ONE = "make one with `blackstart token create NAME --scope SCOPE`"


class TokenService:
    """Tokens and their secrets; a secret is seen once, when it is made."""

    def __init__(self, store: MetadataStore, clock: Clock, seed: Seed) -> None:
        self._tokens = store.tokens
        self._clock = clock
        self._seed = seed

    async def create(
        self, name: str, scopes: Iterable[Scope], expires_in: timedelta | None = None
    ) -> tuple[Token, str]:
        """A new token and its secret text, `bst_ID_SECRET`, which cannot be had again.

        Raises: UsageError for a name that is no line of 1 to 60 printable
        characters, for no scopes, and for a life that is over at once or ends
        beyond the calendar.
        """
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"not a name for a token: {name!r}", hint="take 1 to 60 printable ASCII characters"
            )
        wanted = set(scopes)
        if not wanted:
            raise UsageError("a token needs a scope", hint=f"choose from {', '.join(Scope)}")
        if expires_in is not None and expires_in <= timedelta():
            raise UsageError("a token cannot expire before it is made")
        now = self._clock.now()
        try:
            expires_at = None if expires_in is None else now + expires_in
        except OverflowError as error:
            raise UsageError("a token's life cannot be that long") from error
        secret = self._seed.new_secret()
        token = Token(
            id=self._seed.new_id(),
            name=name,
            digest=_digest(secret),
            scopes=[scope for scope in Scope if scope in wanted],
            created_at=now,
            expires_at=expires_at,
        )
        await self._tokens.insert(token)
        return token, f"bst_{token.id}_{secret}"

    async def list(self) -> Sequence[Token]:
        """Every token, oldest first, with those that are over."""
        return await self._tokens.all()

    async def revoke(self, token_id: str) -> Token:
        """End a token now; a second time changes nothing. Raises: NotFoundError."""
        return await self._tokens.revoke(token_id, self._clock.now())

    async def authenticate(self, bearer: str) -> Token:
        """The token that a secret text belongs to.

        A text with an unknown id and one with a wrong secret take the same
        path and get the same answer, so that neither tells which ids exist.
        Raises: UnauthorizedError.
        """
        parts = _SECRET_TEXT.fullmatch(bearer)
        token_id, secret = parts.groups() if parts else ("", "")
        token = await self._tokens.find(token_id)
        expected = _NO_DIGEST if token is None else token.digest
        same = hmac.compare_digest(_digest(secret), expected)
        if token is None or not same:
            raise UnauthorizedError("the token is not valid", presented=True, hint=ASK_FOR_ONE)
        state = token.state(self._clock.now())
        if state != "valid":
            raise UnauthorizedError(f"the token is {state}", presented=True, hint=ASK_FOR_ONE)
        return token


def _digest(secret: str) -> str:
    # A fast digest is enough: a secret of 256 random bits cannot be found by trying.
    return hashlib.sha256(secret.encode()).hexdigest()
