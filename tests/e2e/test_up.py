"""A real repository through the real platform: what was committed is what visitors get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Commit = Callable[[dict[str, bytes]], Path]

FILES = {
    "index.html": b"<h1>First</h1>\r\n",
    "about.html": b"<p>About us</p>",
    "docs/index.html": b"<p>Docs</p>",
    "docs/café.txt": "naïve café\n".encode(),
    "404.html": b"<p>Nothing here</p>",
    "empty.css": b"",
    "large.bin": bytes(range(256)) * 4_096,
}


def test_every_page_comes_through_every_node_byte_for_byte(up: Any, commit: Commit) -> None:
    up.create_site("pages", commit(FILES))
    up.build("pages")
    for node in range(len(up.nodes)):
        for path, data in FILES.items():
            for _ in ("from the origin", "from the cache"):
                response = up.get("pages", f"/{path}", node)
                assert (path, response.status_code) == (path, 200)
                assert response.content == data, path
        assert "hit" in up.get("pages", "/large.bin", node).headers["cache-status"]


def test_pretty_urls_and_the_site_s_own_404_page_come_through_a_node(
    up: Any, commit: Commit
) -> None:
    up.create_site("pretty", commit(FILES))
    up.build("pretty")
    assert up.get("pretty", "/").content == FILES["index.html"]
    assert up.get("pretty", "/about").content == FILES["about.html"]
    assert up.get("pretty", "/docs/").content == FILES["docs/index.html"]
    missing = up.get("pretty", "/missing")
    assert (missing.status_code, missing.content) == (404, FILES["404.html"])


def test_a_second_commit_replaces_the_first_at_every_node_and_permalinks_stay(
    up: Any, commit: Commit
) -> None:
    up.create_site("news", commit({"index.html": b"old news"}))
    first = up.build("news")
    for node in range(len(up.nodes)):
        up.get("news", "/", node)
        assert "hit" in up.get("news", "/", node).headers["cache-status"]

    commit({"index.html": b"new news"})
    second = up.build("news")

    for node in range(len(up.nodes)):
        assert up.get("news", "/", node).content == b"new news"
    assert up.get(f"{first['deploy_id']}--news", "/").content == b"old news"
    assert up.get(f"{second['deploy_id']}--news", "/").content == b"new news"


def test_a_repository_that_is_none_is_told_by_the_build(
    up: Any, until: Callable[..., Any], tmp_path: Path
) -> None:
    up.create_site("nowhere", tmp_path / "nowhere")
    started = up.api("POST", "/sites/nowhere/builds")
    path = f"/builds/{started['id']}"
    until(lambda: up.api("GET", path)["state"] == "error", "the build fails")
    assert "no such folder" in up.api("GET", path)["error"]


def test_a_snapshot_is_taken_without_being_asked_for(up: Any, until: Callable[..., Any]) -> None:
    manifests = Path(up.addresses["object_store"]) / "snapshots/manifests"
    until(lambda: list(manifests.glob("*Z-*")), "the schedule takes the first one")
