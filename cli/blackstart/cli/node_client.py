"""A client of one node's own pages: each refusal is one line."""

from __future__ import annotations

from typing import Any

import httpx2

from blackstart.cli.api_client import RefusedError, is_here
from blackstart.cli.cdn_options import NODE_VARIABLE, TOKEN_VARIABLE
from blackstart.errors import BlackstartError, HopError, UsageError

TIMEOUT_S = 10.0
OWN_PAGES = "/.blackstart/"


class NodeClient:
    """Asks one node about itself.

    Raises: HopError when it does not answer; UsageError when it says that the
    request made no sense; RefusedError for every other refusal.
    """

    def __init__(self, address: str, token: str | None) -> None:
        self.address = address
        fields = {} if token is None else {"Authorization": f"Bearer {token}"}
        # A proxy of the environment has no way back to this machine.
        self._http = httpx2.Client(
            headers=fields, timeout=TIMEOUT_S, trust_env=not is_here(address)
        )

    def __enter__(self) -> NodeClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def json(self, page: str, query: dict[str, str | int | list[str]] | None = None) -> Any:
        """One of the pages that are JSON."""
        response = self._get(page, query)
        try:
            return response.json()
        except ValueError as error:
            raise self._stranger(response) from error

    def purge(self, what: dict[str, Any]) -> int:
        """Have it forget pages; returns how many entries those were."""
        response = self._ask("POST", "purge", json=what)
        try:
            return int(response.json()["purged"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._stranger(response) from error

    def metrics(self) -> str:
        """All that it counts, in Prometheus' text format."""
        text = self._get("metrics").text
        if "blackstart_cdn_" not in text:
            raise stranger(self.address, "its metrics are not those of a node")
        return text

    def check(self) -> None:
        """Make sure that a node is there."""
        health = self.json("healthz")
        if not isinstance(health, dict) or "node" not in health:
            raise stranger(self.address, "its health is not that of a node")

    def _get(self, page: str, query: Any = None) -> httpx2.Response:
        return self._ask("GET", page, params=query)

    def _ask(self, method: str, page: str, **content: Any) -> httpx2.Response:
        try:
            response = self._http.request(method, self.address + OWN_PAGES + page, **content)
        except httpx2.ConnectError as error:
            raise unreachable(self.address, str(error)) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise HopError(f"{self.address} gave no answer: {reason}", hint="try again") from error
        if response.is_success:
            return response
        raise self._refusal(response)

    def _refusal(self, response: httpx2.Response) -> BlackstartError:
        line = response.text.strip()
        status = response.status_code
        if not line.startswith(str(status)) or "\n" in line:
            return self._stranger(response)
        if status == 400:
            return UsageError(f"the node says {line}")
        hint = ""
        if status == 401:
            hint = f"is {TOKEN_VARIABLE} what the node was started with?"
        elif status == 403:
            hint = f"start it with {TOKEN_VARIABLE} set"
        return RefusedError(status, "hop", f"the node says {line}", hint=hint)

    def _stranger(self, response: httpx2.Response) -> RefusedError:
        return stranger(self.address, f"it answered {response.status_code}", response.status_code)


def stranger(address: str, why: str, status: int = 502) -> RefusedError:
    """Something else is there."""
    return RefusedError(
        status, "hop", f"{address} is no node: {why}", hint=f"check --node or {NODE_VARIABLE}"
    )


def unreachable(address: str, reason: str) -> HopError:
    """Nobody is there, or nobody who speaks so."""
    if "SSL" in reason:
        return HopError(f"no TLS with {address}: {reason}", hint="a node speaks http://")
    return HopError(
        f"nothing answers at {address}: {reason}",
        hint=f"is the node running, and is {NODE_VARIABLE} right?",
    )
