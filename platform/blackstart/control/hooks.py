"""Build hooks: an address that starts a build when it is called, signed or secret."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from blackstart.clock import Clock
from blackstart.control.builds import BuildService
from blackstart.errors import UnauthorizedError
from blackstart.model import Build, BuildHook, Site
from blackstart.seed import Seed
from blackstart.store import MetadataStore

SIGNATURE_PREFIX = "sha256="
BRANCH_PREFIX = "refs/heads/"
DELETED = "0" * 40


class HookService:
    """Makes build hooks and answers their calls."""

    def __init__(
        self, store: MetadataStore, builds: BuildService, *, clock: Clock, seed: Seed
    ) -> None:
        self._store = store
        self._builds = builds
        self._clock = clock
        self._seed = seed

    async def create(self, site: Site, *, title: str, branch: str, signed: bool) -> BuildHook:
        """Make a hook; a signed one gets a secret."""
        hook = BuildHook(
            id=self._seed.new_id(),
            site_id=site.id,
            title=title,
            branch=branch,
            secret=self._seed.new_secret() if signed else None,
            created_at=self._clock.now(),
        )
        await self._store.hooks.insert(hook)
        return hook

    async def call(
        self, hook_id: str, body: bytes, signature: str | None, *, title: str | None = None
    ) -> Build | None:
        """Start the hook's build; None when the push that calls is of another branch.

        The signature is GitHub's: `sha256=` and the HMAC-SHA256 of the body in hex.
        Raises: NotFoundError; UnauthorizedError for a missing or wrong signature.
        """
        hook = await self._store.hooks.get(hook_id)
        if hook.secret is not None and not _is_signed(hook.secret, body, signature):
            raise UnauthorizedError(
                "the call is not signed with the hook's secret",
                presented=signature is not None,
                hint="send X-Hub-Signature-256: sha256=<HMAC of the body>",
            )
        if not _is_for(hook.branch, body):
            return None
        site = await self._store.sites.get(hook.site_id)
        return await self._builds.start(
            site, branch=hook.branch, title=title or hook.title, why="hook"
        )


def _is_signed(secret: str, body: bytes, signature: str | None) -> bool:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = (signature or "").strip().encode("utf-8", "replace")
    return hmac.compare_digest(f"{SIGNATURE_PREFIX}{digest}".encode(), given)


def _is_for(branch: str, body: bytes) -> bool:
    """Whether a push, as git hosts report it, is of the branch; anything else is a plain call."""
    push = _json_object(body)
    ref = push.get("ref")
    if not isinstance(ref, str):
        return True
    return ref == BRANCH_PREFIX + branch and push.get("after") != DELETED


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}
