"""Where people read: the consoles of stdout and stderr, and what is happening while they wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say what is being done while it is being done; only people in a terminal see it."""
    with err.status(f"{escape(what)} ..."):
        yield
