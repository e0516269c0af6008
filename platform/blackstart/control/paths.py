"""Which paths are the API's, and which of them stream: asked by all that stands in front."""

from __future__ import annotations

import re

API_PREFIX = "/api/v1"
HOOKS_PREFIX = "/build_hooks"
_BESIDE_IT = (f"{HOOKS_PREFIX}/", "/team/")
"""Where programs call without being the API's clients: git hosts, and a client before it builds."""
_DEPLOYS = re.compile(rf"{API_PREFIX}/sites/[^/]+/deploys", re.DOTALL)
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


def is_zip(content_type: str) -> bool:
    """Whether a body says that it is a zip file."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("application/zip", "application/x-zip-compressed")


def is_zip_upload(method: str, path: str, content_type: str) -> bool:
    """Whether this request sends a deploy as one zip file, which is streamed to the disk."""
    return method == "POST" and _DEPLOYS.fullmatch(path) is not None and is_zip(content_type)
