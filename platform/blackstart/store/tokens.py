"""Every question the platform asks of the `tokens` collection."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pymongo import ASCENDING
from pymongo.asynchronous.collection import AsyncCollection

from blackstart.errors import NotFoundError
from blackstart.model import Token


class Tokens:
    """Tokens by id; they are revoked and never removed, so that a log line's id stays known."""

    def __init__(self, collection: AsyncCollection[dict[str, Any]]) -> None:
        self._tokens = collection

    async def create_indexes(self) -> None:
        await self._tokens.create_index([("created_at", ASCENDING), ("_id", ASCENDING)])

    async def insert(self, token: Token) -> None:
        await self._tokens.insert_one(token.to_mongo())

    async def find(self, token_id: str) -> Token | None:
        raw = await self._tokens.find_one({"_id": token_id})
        return None if raw is None else Token.from_mongo(raw)

    async def all(self) -> list[Token]:
        """Every token, oldest first."""
        cursor = self._tokens.find().sort([("created_at", ASCENDING), ("_id", ASCENDING)])
        return [Token.from_mongo(raw) async for raw in cursor]

    async def revoke(self, token_id: str, at: datetime) -> Token:
        """End a token; one that was revoked before keeps its time. Raises: NotFoundError."""
        await self._tokens.update_one(
            {"_id": token_id, "revoked_at": None}, {"$set": {"revoked_at": at}}
        )
        token = await self.find(token_id)
        if token is None:
            raise NotFoundError(f"no token {token_id!r}", hint="`blackstart token list` shows them")
        return token
