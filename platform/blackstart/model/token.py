"""A token: who may ask the API for what, known by the digest of a secret."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from blackstart.model.document import Document


class Scope(StrEnum):
    """What a token is for; some scopes bring others with them."""

    READ = "read"
    DEPLOY = "deploy"
    OPERATE = "operate"
    REVIEW = "review"

    def includes(self, other: Scope) -> bool:
        """Whether this scope is enough where `other` is asked for."""
        return other is self or other in _BRINGS[self]


_BRINGS: dict[Scope, frozenset[Scope]] = {
    Scope.READ: frozenset(),
    Scope.DEPLOY: frozenset({Scope.READ}),
    Scope.OPERATE: frozenset({Scope.DEPLOY, Scope.READ}),
    Scope.REVIEW: frozenset({Scope.READ}),
}


class Token(Document):
    """One token; `digest` is the SHA-256 of its secret in hex, and the secret is kept nowhere."""

    name: str
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    scopes: list[Scope] = Field(min_length=1)
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether one of its scopes is `scope` or includes it."""
        return any(own.includes(scope) for own in self.scopes)

    def state(self, now: datetime) -> str:
        """`revoked`, `expired` or `valid` at that time."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"
