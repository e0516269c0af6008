"""The control API against its own OpenAPI document: no request ends in what it does not say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = 40
"""How many requests are drawn for each operation, besides those at the limits of its fields."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "allow_header_conformance",
    "ignored_auth",
    "use_after_free",
)
PHASES = ("coverage", "fuzzing", "stateful")
FILES = {"index.html": b"<h1>Home</h1>", "404.html": b"<p>Nothing here</p>"}
HALF = 0.5
"""How often a path names something that exists; else it is drawn like any other text."""


def write_settings(path: Path, names: dict[str, list[str]]) -> None:
    """Schemathesis' settings: where each path parameter finds what exists."""
    lines = []
    for name, values in names.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}", ""]
    lines += ["[parameters]"]
    lines += [
        f'"path.{name}" = {{ dictionary = "{name}", probability = {HALF} }}' for name in names
    ]
    path.write_text("\n".join(lines) + "\n")


def fuzz(up: Any, folder: Path, names: dict[str, list[str]]) -> subprocess.CompletedProcess[str]:
    """Schemathesis' command line; the same requests every time, as far as ids allow."""
    settings = folder / "schemathesis.toml"
    write_settings(settings, names)
    command = [sys.executable, "-P", "-m", "schemathesis.cli", "--config-file", str(settings)]
    command += ["run", f"{up.control}/openapi.json", "--no-color", "--warnings", "off"]
    command += ["--header", f"Authorization: {up.bearer['Authorization']}"]
    command += ["--phases", ",".join(PHASES), "--checks", ",".join(CHECKS)]
    command += ["--max-examples", str(EXAMPLES), "--generation-deterministic", "--no-shrink"]
    command += ["--continue-on-failure", "--suppress-health-check", "all"]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=folder,
        env=up.environment(),
    )


@pytest.mark.slow
def test_no_request_gets_an_answer_that_the_document_does_not_allow(
    start: Callable[..., Any], commit: Callable[[dict[str, bytes]], Path], tmp_path: Path
) -> None:
    with start(tmp_path / "tmp", "--nodes", "1", BLACKSTART_RATE_LIMIT="0") as up:
        site = up.create_site("docs", commit(FILES))
        build = up.build("docs")
        hook = up.api("POST", "/sites/docs/build_hooks", {})
        names = {
            "site_id": ["docs", site["id"]],
            "build_id": [build["id"]],
            "deploy_id": [build["deploy_id"]],
            "hook_id": [hook["id"]],
            "path": list(FILES),
        }
        done = fuzz(up, tmp_path, names)
    # On failure this is the report: each failing case with the curl command that repeats it.
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 39" in done.stdout, done.stdout
