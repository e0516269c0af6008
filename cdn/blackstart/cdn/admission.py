"""From an origin's response to the entry that a node keeps of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from blackstart.cdn.entry import Entry
from blackstart.cdn.freshness import (
    Storage,
    initial_age_s,
    primary_key,
    storage_of,
    variant_key,
)
from blackstart.cdn.message import Headers, Request, Response

# What a 304 says about the transfer is about its own, not the stored response's.
_KEPT_ON_REFRESH = frozenset(
    {"content-length", "content-encoding", "content-type", "content-range", "set-cookie"}
)
_CACHE_FIELDS = frozenset({"cache-control", "cdn-cache-control"})


class Admission:
    """Judges and files responses. `plan_of` maps what the plan header says to a known plan."""

    def __init__(
        self, plan_header: str, plan_of: Callable[[str | None], str], stale_window_s: float
    ) -> None:
        self._plan_header = plan_header.lower()
        self._plan_of = plan_of
        self._stale_window_s = stale_window_s
        self._private = frozenset({self._plan_header, "cdn-cache-control"})
        self._unkept = self._private | {"age"}

    def plan(self, response: Response) -> str:
        """The plan of the site that this response belongs to."""
        return self._plan_of(response.headers.get(self._plan_header))

    def public(self, headers: Headers) -> Headers:
        """The headers without those that the origin means for nodes only."""
        return headers.without(self._private)

    def storage(self, ask: Request, response: Response) -> Storage | None:
        """Whether and for how long the response may be kept."""
        return storage_of(ask, response, self._stale_window_s)

    def entry(
        self,
        ask: Request,
        response: Response,
        body: bytes,
        storage: Storage,
        asked_at: float,
        now: float,
    ) -> Entry:
        """The entry for a response that arrived `now`, in full."""
        primary = primary_key(ask)
        kept = response.headers.without(self._unkept)
        if response.status != 204 and "content-length" not in kept:
            kept = kept.plus(("content-length", str(len(body))))
        return Entry(
            key=variant_key(primary, storage.vary, ask.headers),
            primary=primary,
            vary=storage.vary,
            status=response.status,
            headers=kept,
            body=body,
            stored_at=now,
            initial_age_s=initial_age_s(response.headers, asked_at, now),
            lifetime_s=storage.lifetime_s,
            stale_window_s=storage.stale_window_s,
            tags=tags_of(response.headers),
            plan=self.plan(response),
        )

    def refreshed(
        self, ask: Request, held: Entry, confirmation: Response, asked_at: float, now: float
    ) -> tuple[Entry, bool]:
        """The held entry brought up to date by a 304, and whether it may be kept any longer.

        See RFC 9111 section 4.3.4. A 304 that says nothing about caching
        grants the same lifetime again.
        """
        fields = confirmation.headers.without(_KEPT_ON_REFRESH)
        names = {name for name, _ in fields}
        merged = Response(
            held.status, Headers.trusted(held.headers.without(names).pairs + fields.pairs)
        )
        same = Storage(held.lifetime_s, held.stale_window_s, held.vary)
        storage = self.storage(ask, merged) if names & _CACHE_FIELDS else same
        entry = self.entry(ask, merged, held.body, storage or same, asked_at, now)
        return replace(entry, plan=held.plan), storage is not None


def tags_of(headers: Headers) -> tuple[str, ...]:
    """The Cache-Tag list, in lower case, each tag once."""
    value = headers.joined("cache-tag")
    if value is None:
        return ()
    tags = [tag.strip() for tag in value.lower().split(",")]
    return tuple(dict.fromkeys(tag for tag in tags if tag))
