"""Which paths are the API's, and which of them stream: asked by all that stands in front."""

from __future__ import annotations

import re

API_PREFIX = "/api/v1"
HOOKS_PREFIX = "/build_hooks"
_UPLOAD = re.compile(rf"{API_PREFIX}/deploys/[^/]+/files/.+", re.DOTALL)


def is_api(path: str) -> bool:
    """Whether JSON is spoken at this path, and no HTML."""
    return path == API_PREFIX or path.startswith((f"{API_PREFIX}/", f"{HOOKS_PREFIX}/"))


def is_upload(method: str, path: str) -> bool:
    """Whether this request sends a deploy's file: its body is streamed and of any length."""
    return method == "PUT" and _UPLOAD.fullmatch(path) is not None
