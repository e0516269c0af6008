"""What the front answers by itself, before it gives a request to the node."""

from __future__ import annotations

from http import HTTPStatus

from blackstart.cdn.message import plain
from blackstart.errors import UsageError


class Refusal(UsageError):
    """A request that is not taken; the connection ends with `response`."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.response = plain(status, f"{status} {HTTPStatus(status).phrase}: {why}")
