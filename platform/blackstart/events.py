"""What a service says about what it did: log lines in a server, the journal in a drill."""

from __future__ import annotations

from typing import Any, Protocol

import structlog


class Events(Protocol):
    """Takes one thing that happened: an action, what it happened to, and its details."""

    def __call__(self, action: str, subject: str, **details: Any) -> None: ...


def log_events(service: str) -> Events:
    """Events as structured log lines of a service."""
    logger = structlog.get_logger(service)

    def log(action: str, subject: str, **details: Any) -> None:
        logger.info(action, subject=subject, **details)

    return log
