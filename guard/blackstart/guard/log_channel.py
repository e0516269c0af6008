"""A channel for whoever has no other: people are told by the guard's own log."""

from __future__ import annotations

import structlog

_log = structlog.get_logger(__name__)


class LogChannel:
    """Tells in log lines."""

    async def tell(self, text: str, *, request: int | None = None) -> None:
        _log.warning("channel", text=text, request=request)
