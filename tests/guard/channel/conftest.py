"""A webhook's other side, which can be down."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from blackstart.guard.channel import Webhook


class OtherSide:
    """An HTTP application that keeps what was posted; `answers` are statuses to give first."""

    def __init__(self) -> None:
        self.posted: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.is_down = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.is_down:
            raise httpx2.ConnectError("connection refused")
        body, more = b"", True
        while more:
            event = await receive()
            body, more = body + event.get("body", b""), event.get("more_body", False)
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.posted.append(json.loads(body))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})

    def texts(self) -> list[str]:
        return [message["text"] for message in self.posted]


@pytest.fixture
def other_side() -> OtherSide:
    return OtherSide()


@pytest.fixture
async def webhook(other_side: OtherSide) -> AsyncIterator[Webhook]:
    transport = httpx2.ASGITransport(app=other_side, raise_app_exceptions=True)
    async with httpx2.AsyncClient(transport=transport) as client:
        yield Webhook("https://hooks.example.org/services/secret", client)
