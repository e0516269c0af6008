"""Which paths are the API's, and which of them stream: asked by all that stands in front."""

from __future__ import annotations

import re

API_PREFIX = "/api/v1"
_BESIDE_IT = ("/build_hooks/", "/team/")
"""Where programs call without being the API's clients: git hosts, and a client before it builds."""
_UPLOAD = re.compile(rf"{API_PREFIX}/deploys/[^/]+/files/.+", re.DOTALL)


def is_api(path: str) -> bool:
    """Whether this path is the API's: its answers are counted and tagged."""
    return path == API_PREFIX or path.startswith(f"{API_PREFIX}/")


def speaks_json(path: str) -> bool:
    """Whether JSON is spoken at this path, and no HTML."""
    return is_api(path) or path.startswith(_BESIDE_IT)


def is_upload(method: str, path: str) -> bool:
    """Whether this request sends a deploy's file: its body is streamed and of any length."""
    return method == "PUT" and _UPLOAD.fullmatch(path) is not None
