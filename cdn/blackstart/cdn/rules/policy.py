"""What RFC 9111 leaves to whoever runs a cache."""

from __future__ import annotations

from dataclasses import dataclass

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Policy:
    """Choices of one node; durations in seconds.

    `targeted` are the targeted fields it listens to, first one first (RFC 9213
    section 2.2). Without an explicit lifetime a response is fresh for
    `heuristic_share` of the time it had not changed, at most
    `heuristic_limit_s` (RFC 9111 section 4.2.2). An error is not kept for
    longer than `client_error_s` (4xx) or `server_error_s` (5xx), whatever it
    says of itself. `stale_if_error_s` is how long past its lifetime a response
    may cover for a failing origin when it does not say (section 4.2.4);
    `stale_if_error` switches that use off and on. `obey_clients` tells whether
    the advice in a request's Cache-Control is taken (section 5.2.1).
    `serve_unheard` lets a node that may have missed purges serve what it
    stored where the origin fails; without it visitors see the failure.
    `told` are fields about the visitor that only the origin sees, as the hop adds
    them: what varies on one of these fits nobody else, and is not kept.
    """

    targeted: tuple[str, ...] = ("cdn-cache-control",)
    heuristic_share: float = 0.1
    heuristic_limit_s: float = DAY_S
    client_error_s: float = 3_600.0
    server_error_s: float = 60.0
    stale_if_error: bool = True
    stale_if_error_s: float = DAY_S
    obey_clients: bool = True
    serve_unheard: bool = False
    told: frozenset[str] = frozenset()
