"""What the API reaches beyond itself: running builds, nodes, and the files of a deploy."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

Commit = Callable[[dict[str, bytes]], Path]

FILES = {
    "index.html": b"home",
    "news.html": b"news",
    "docs/caf\u00e9.txt": b"coffee",
    "_headers": b"/news.html\n  Cache-Tag: news\n/*\n  Cache-Tag: all\n",
}


def events(response: httpx2.Response) -> Iterator[tuple[str, int, str]]:
    """Server-sent events as they come: name, id, data."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if line:
            fields[name] = value
        elif "event" in fields:
            yield fields["event"], int(fields["id"]), fields["data"]
            fields = {}


def test_a_builds_log_follows_while_it_runs_and_ends_with_the_build(
    up: Any, commit: Commit, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    wait = f"while [ ! -e {shlex.quote(str(gate))} ]; do sleep 0.02; done"
    command = f"echo at the gate; {wait}; mkdir out; echo home > out/index.html; echo through"
    config = f'[build]\ncommand = {json.dumps(command)}\npublish = "out"\n'
    up.create_site("followed", commit({"netlify.toml": config.encode()}))
    build = up.api("POST", "/sites/followed/builds")
    url = f"{up.control}/api/v1/builds/{build['id']}"
    with up.client.stream("GET", f"{url}/log/stream", headers=up.bearer) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        coming = events(response)
        seen = []
        for event in coming:
            seen.append(event)
            if event[2] == "at the gate":
                break
        assert up.api("GET", f"/builds/{build['id']}")["state"] == "running"
        assert "through" not in [line for _, _, line in seen]
        gate.touch()
        seen += coming  # The stream ends, or this would wait in vain.
    ended = up.api("GET", f"/builds/{build['id']}")
    assert ended["state"] == "done", ended
    *lines, end = seen
    assert lines == [("line", n, line) for n, line in enumerate(ended["log"], 1)]
    assert "through" in ended["log"]
    assert end == ("end", len(lines), "done")
    again = {**up.bearer, "Last-Event-ID": str(len(lines) - 1)}
    with up.client.stream("GET", f"{url}/log/stream", headers=again) as response:
        assert list(events(response)) == seen[-2:]


def is_hit(up: Any, site: str, path: str, node: int) -> bool:
    return "hit" in up.get(site, path, node).headers["cache-status"]


@pytest.mark.parametrize(
    ("tags", "forgotten"),
    [(["news"], {"/news.html"}), (["nobody's"], set()), (None, {"/", "/news.html"})],
)
def test_a_purge_over_the_api_makes_every_node_forget_that_and_nothing_else(
    up: Any, commit: Commit, tags: list[str] | None, forgotten: set[str]
) -> None:
    name = f"purged-{len(tags[0]) if tags else 0}"
    repository = commit(FILES)
    site = up.create_site(name, repository)
    up.create_site(f"{name}-not", repository)
    up.build(name)
    up.build(f"{name}-not")
    pages = [(each, path) for each in (name, f"{name}-not") for path in ("/", "/news.html")]
    assert up.nodes
    for node in range(len(up.nodes)):
        for each, path in pages:
            up.get(each, path, node)
            assert is_hit(up, each, path, node)
    body = {"site_id": site["id"]} | ({} if tags is None else {"cache_tags": tags})
    up.api("POST", "/purge", body)
    for node in range(len(up.nodes)):
        for each, path in pages:
            kept = each != name or path not in forgotten
            assert is_hit(up, each, path, node) is kept, (node, each, path)


def test_the_files_of_the_published_deploy_are_listed_as_they_were_committed(
    up: Any, commit: Commit
) -> None:
    up.create_site("listed", commit(FILES))
    up.build("listed")
    listed = up.api("GET", "/sites/listed/files")
    assert [(each["path"], each["sha"], each["size"]) for each in listed] == [
        (f"/{path}", hashlib.sha1(data, usedforsecurity=False).hexdigest(), len(data))
        for path, data in sorted(FILES.items())
    ]
    one = up.api("GET", "/sites/listed/files/docs/caf%C3%A9.txt")
    assert (one["path"], one["mime_type"].split(";")[0]) == ("/docs/caf\u00e9.txt", "text/plain")
