"""What one front takes from its clients: sizes, numbers and patience."""

from __future__ import annotations

from dataclasses import dataclass, fields

KIBIBYTE = 1024
GIBIBYTE = 1024**3


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds. Times are kept to within a second or a quarter of them."""

    head_bytes: int = 32 * KIBIBYTE  # request line and fields together
    header_count: int = 100
    target_bytes: int = 8 * KIBIBYTE
    body_bytes: int = GIBIBYTE  # bodies stream, so this costs no memory
    connections: int = 10_000
    connections_per_client: int = 1_000  # trusted peers may have more
    header_timeout_s: float = 10.0  # from a head's first byte, or the connection, to its end
    idle_timeout_s: float = 60.0  # between two requests
    progress_timeout_s: float = 30.0  # in which a body, either way, moves `progress_bytes`
    progress_bytes: int = KIBIBYTE
    linger_s: float = 2.0  # how long a refused client may take to read why

    def __post_init__(self) -> None:
        for each in fields(self):
            assert getattr(self, each.name) > 0, f"{each.name} must be positive"

    @property
    def tick_s(self) -> float:
        """How often the timeouts are looked at."""
        times = (self.header_timeout_s, self.idle_timeout_s, self.progress_timeout_s, self.linger_s)
        return min(1.0, min(times) / 4)
