"""The part of a host name before a site's: one deploy by its id, or a branch by its name."""

from __future__ import annotations

import re

SEPARATOR = "--"
MAX_LABEL_CHARS = 63
"""RFC 1035 section 2.3.4."""
_DEPLOY_ID = re.compile(r"[0-9a-f]{24}")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")


def is_deploy_id(part: str) -> bool:
    """Whether this names one deploy and not a branch."""
    return _DEPLOY_ID.fullmatch(part) is not None


def branch_address(branch: str, site_name: str) -> str | None:
    """The host label of a site's branch; None when the branch's name cannot be part of one."""
    label = f"{branch}{SEPARATOR}{site_name}"
    if is_deploy_id(branch) or not _LABEL.fullmatch(branch) or len(label) > MAX_LABEL_CHARS:
        return None
    return label
