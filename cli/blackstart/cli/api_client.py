"""A client of the control API: one address, one token, and every refusal as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import httpx2

from blackstart.cli.api_options import ADDRESS_VARIABLE, PREFIX
from blackstart.errors import BlackstartError, HopError, UsageError

if TYPE_CHECKING:
    from httpx2 import Response, ServerSentEvent

TIMEOUT_S = 30.0
# The API sends a comment every 15 seconds while a log is silent.
SILENCE_S = 60.0
PER_PAGE = 100
WRONG_USE = {(400, "bad_request"), (400, "invalid_request"), (422, "invalid_request")}


class RefusedError(BlackstartError):
    """The control API said no, in its own words; `code` and `status` are its answer's."""

    def __init__(self, status: int, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status  # type: ignore[misc]
        self.code = code  # type: ignore[misc]


class ApiClient:
    """Calls one control API. Paths are given as their parts, and are quoted here.

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

    def __enter__(self) -> ApiClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, *path: str, **query: str | int) -> Any:
        return self._json(self._send("GET", api_path(*path), params=query))

    def post(self, *path: str, body: Any = None) -> Any:
        return self._json(self._send("POST", api_path(*path), json={} if body is None else body))

    def delete(self, *path: str) -> None:
        self._send("DELETE", api_path(*path))

    def text(self, *path: str) -> str:
        return self._send("GET", api_path(*path)).text

    def all(self, *path: str, limit: int | None = None) -> list[Any]:
        """A list with all its pages, or its first `limit` entries."""
        entries: list[Any] = []
        page = 1
        while True:
            response = self._send(
                "GET", api_path(*path), params={"page": page, "per_page": PER_PAGE}
            )
            entries += self._json(response)
            if limit is not None and len(entries) >= limit:
                return entries[:limit]
            if "next" not in response.links:
                return entries
            page += 1

    def call(self, path: str, content: bytes, fields: dict[str, str]) -> None:
        """POST bytes as they are to a path outside the API's prefix."""
        self._send("POST", path, content=content, headers=fields)

    @contextmanager
    def events(self, *path: str, after: str) -> Iterator[Iterator[ServerSentEvent]]:
        """Server-sent events after the one with that id, as they come.

        Raises: httpx2.TransportError as well, when the stream breaks.
        """
        url = self.address + api_path(*path)
        fields = {"Accept": "text/event-stream", "Last-Event-ID": after}
        with self._http.stream(
            "GET", url, headers=fields, timeout=httpx2.Timeout(TIMEOUT_S, read=SILENCE_S)
        ) as response:
            if not response.is_success:
                response.read()
                raise self._refusal(response)
            yield iter(httpx2.EventSource(response))

    def _send(self, method: str, path: str, **what: Any) -> Response:
        try:
            response = self._http.request(method, self.address + path, **what)
        except httpx2.ConnectError as error:
            raise unreachable(self.address) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            what_now = "try again" if method == "GET" else "it may have been done: look first"
            reason = str(error) or type(error).__name__
            raise HopError(f"{self.address} gave no answer: {reason}", hint=what_now) from error
        if not response.is_success:
            raise self._refusal(response)
        return response

    def _json(self, response: Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise self._stranger(response) from error

    def _refusal(self, response: Response) -> BlackstartError:
        try:
            problem = response.json()
            code, message, hint = problem["code"], problem["message"], problem["hint"]
        except (ValueError, KeyError, TypeError):
            return self._stranger(response)
        if response.status_code == 401:
            hint = f"{hint}; each start of `blackstart up` prints a new one"
        if (response.status_code, code) in WRONG_USE:
            return UsageError(str(message), hint=str(hint))
        return RefusedError(response.status_code, str(code), str(message), hint=str(hint))

    def _stranger(self, response: Response) -> BlackstartError:
        return RefusedError(
            response.status_code,
            "hop",
            f"{self.address} answered {response.status_code}, and not as a control API does",
            hint=f"check --api or {ADDRESS_VARIABLE}",
        )


def api_path(*parts: str) -> str:
    """A path below the API's prefix. Raises: UsageError for a part that would lead elsewhere."""
    for part in parts:
        if part in ("", ".", ".."):
            raise UsageError(f"neither an id nor a name: {part!r}")
    return "/".join([PREFIX, *(quote(part, safe="") for part in parts)])


def unreachable(address: str) -> HopError:
    """Nobody is there."""
    return HopError(
        f"nothing answers at {address}", hint=f"is it running, and is {ADDRESS_VARIABLE} right?"
    )


def is_here(address: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
