"""One stored response, without its body."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart.cdn.message import Headers


@dataclass(slots=True, eq=False)
class Entry:
    """A stored response.

    `stored_at` is Unix seconds, durations are seconds, `size` is bytes held.
    """

    key: str
    selecting: tuple[tuple[str, str | None], ...]
    status: int
    head: bytes
    size: int
    part: tuple[int, int, int] | None
    stored_at: float
    initial_age_s: float
    lifetime_s: float
    stale_if_error_s: float
    stale_while_revalidate_s: float
    rules: int
    tags: tuple[str, ...]
    plan: str
    stale: bool = False

    @property
    def headers(self) -> Headers:
        """The stored fields."""
        return Headers.from_packed(self.head)
