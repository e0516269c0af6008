"""Telling the CDN nodes to forget what a publish has made old."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import httpx2

from blackstart.errors import HopError

PURGE_PATH = "/.blackstart/purge"
TIMEOUT_S = 5.0


class Purge(Protocol):
    """Makes every node drop what carries one of the tags."""

    async def __call__(self, tags: Sequence[str]) -> None:
        """Raises: HopError when a node did not confirm."""
        ...


class NodePurge:
    """`Purge` over HTTP, one client per node; a transport decides whether that is a socket."""

    def __init__(self, nodes: Sequence[httpx2.AsyncClient], token: str) -> None:
        self._nodes = nodes
        self._token = token

    @classmethod
    def over_sockets(cls, urls: Sequence[str], token: str) -> NodePurge:
        """For nodes at these URLs."""
        return cls(
            [httpx2.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False) for url in urls],
            token,
        )

    async def __call__(self, tags: Sequence[str]) -> None:
        """Ask each node in turn; all are asked even when one fails."""
        failed = []
        for node in self._nodes:
            try:
                response = await node.post(
                    PURGE_PATH,
                    json={"tags": list(tags)},
                    headers={"Authorization": f"Bearer {self._token}"},
                )
                response.raise_for_status()
            except httpx2.HTTPError as error:
                failed.append(f"{node.base_url}: {error or type(error).__name__}")
        if failed:
            raise HopError(f"purge not confirmed by {', '.join(failed)}")

    async def close(self) -> None:
        """Close the connections to the nodes."""
        for node in self._nodes:
            await node.aclose()


async def no_purge(tags: Sequence[str]) -> None:
    """`Purge` for a platform without nodes."""


def site_tag(site_id: str) -> str:
    """The tag that everything of a site carries."""
    return f"site-{site_id}"


def deploy_tag(deploy_id: str) -> str:
    """The tag that everything of one deploy carries."""
    return f"deploy-{deploy_id}"


def branch_tag(site_id: str, branch: str) -> str:
    """The tag of everything that was shown as a branch's newest deploy."""
    return f"branch-{site_id}-{branch}"


def custom_tag(site_id: str, tag: str) -> str:
    """A tag that a site gave to an answer of its own; no other site's tag is ever the same.

    Case does not matter, as in Netlify's documentation. The platform's own
    tags have no colon, so that none of them can be named this way either.
    """
    return f"{site_id}:{tag.lower()}"
