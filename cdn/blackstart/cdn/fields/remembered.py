"""What was read of short texts is kept, as most are alike; a long one is read anew each time."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

LONGEST_REMEMBERED = 256
"""In characters. Texts come from strangers, who could fill the memory with long ones."""

Read = TypeVar("Read")


def remembered(
    texts: int, longest: int = LONGEST_REMEMBERED
) -> Callable[[Callable[[str], Read]], Callable[[str], Read]]:
    """Let a function keep its results for the last so many `texts` that are not long."""

    def decorate(read: Callable[[str], Read]) -> Callable[[str], Read]:
        known = lru_cache(maxsize=texts)(read)

        @wraps(read)
        def ask(text: str) -> Read:
            return known(text) if len(text) <= longest else read(text)

        return ask

    return decorate
