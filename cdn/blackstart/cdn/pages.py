"""The node's own pages that only tell: health, metrics, and what is stored."""

from __future__ import annotations

import json
from heapq import nsmallest
from typing import Annotated, TypeVar
from urllib.parse import parse_qs

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from blackstart.cdn.inspection import details, outlook, summary
from blackstart.cdn.message import Headers, Request, Response, plain
from blackstart.cdn.node import Node
from blackstart.cdn.rules.invalidating import key_of

AT_ONCE = 2000
"""How many entries are looked through before visitors get their turn."""


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ListQuery(_Query):
    """Which stored responses to list: pages whose `host/target` begins with `prefix`.

    `after` is the `next` of the page before.
    """

    prefix: str = ""
    after: str = ""
    limit: int = Field(default=100, ge=1, le=1000)


class EntryQuery(_Query):
    """Which page to look at, and `Name: value` fields of a request for it."""

    host: Annotated[str, Field(min_length=1)]
    target: Annotated[str, Field(pattern="^/")]
    header: list[Annotated[str, Field(pattern=r"^[^:\s]+:[^\r\n]*$")]] = Field(default_factory=list)


Q = TypeVar("Q", bound=_Query)


async def list_entries(node: Node, query: str) -> Response:
    """`GET entries`: stored responses by key, a page at a time."""
    wanted = _read(ListQuery, query)
    if isinstance(wanted, Response):
        return wanted
    keys: list[str] = []
    held = node.cache.entries()
    for first in range(0, len(held), AT_ONCE):
        found = {
            entry.key
            for entry in held[first : first + AT_ONCE]
            if entry.key > wanted.after and shown(entry.key).startswith(wanted.prefix)
        }
        # Variants of a page may lie far apart, so it can be found twice.
        keys = nsmallest(wanted.limit + 1, found.union(keys))
        await node.clock.sleep(0)
    now = node.clock.time()
    listed = keys[: wanted.limit]
    entries = [summary(entry, now) for key in listed for entry in await node.cache.find(key)]
    following = listed[-1] if len(keys) > wanted.limit else None
    return answer_json(200, {"entries": entries, "next": following, "held": len(node.cache)})


async def show_entry(node: Node, query: str) -> Response:
    """`GET entry`: all variants of one page, and what a request for it would get now."""
    wanted = _read(EntryQuery, query)
    if isinstance(wanted, Response):
        return wanted
    pairs = [(name, value.strip()) for name, _, value in [x.partition(":") for x in wanted.header]]
    request = Request("GET", wanted.target, wanted.host.lower(), Headers(pairs))
    stored = await node.cache.find(key_of(request.host, request.target))
    now = node.clock.time()
    return answer_json(
        200,
        {
            "node": node.name,
            "host": request.host,
            "target": request.target,
            "now": outlook(request, stored, now, node.policy),
            "variants": [details(entry, now, node.policy) for entry in stored],
        },
    )


def shown(key: str) -> str:
    """A page's key as people write it: an address without its scheme."""
    return key.replace(" ", "", 1)


def answer_own(status: int, content_type: str, body: bytes) -> Response:
    """One of the node's own pages, which nobody may store."""
    fields = (
        ("content-type", content_type),
        ("cache-control", "no-store"),
        ("content-length", str(len(body))),
    )
    return Response(status, Headers.trusted(fields), body)


def answer_json(status: int, value: object) -> Response:
    """The same, of JSON."""
    return answer_own(status, "application/json", json.dumps(value).encode() + b"\n")


def refuse_method(allowed: str) -> Response:
    """405, with what would be allowed."""
    response = plain(405, f"405 Method Not Allowed: only {allowed}")
    return Response(response.status, response.headers.plus(("allow", allowed)), response.body)


def _read(model: type[Q], query: str) -> Q | Response:
    """The query's fields, or the refusal of a query that makes no sense."""
    try:
        given = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
        fields = {name: x if name == "header" else x[-1] for name, x in given.items()}
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        return plain(400, f"400 Bad Request: {where}: {first['msg']}")
    except ValueError:
        return plain(400, "400 Bad Request: that is no query")
