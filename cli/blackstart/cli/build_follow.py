"""A build's log while it is written: streamed, taken up again where a connection broke."""

from __future__ import annotations

from time import sleep

import httpx2

from blackstart.cli.api_client import ApiClient, unreachable
from blackstart.cli.tables import plain
from blackstart.errors import BlackstartError, HopError

TRIES = 5
PAUSE_S = 1.0


class BuildEndedError(BlackstartError):
    """A build that was waited for has ended, and not well."""


def follow(client: ApiClient, build_id: str) -> str:
    """Print the log line by line until the build has ended; returns its state then.

    Raises: HopError when the stream broke too often without a new line between;
    RefusedError.
    """
    tail = _Tail(client, build_id)
    while tail.state is None:
        tail.read()
    return tail.state


def ensure_done(client: ApiClient, build_id: str, state: str) -> None:
    """Raises: BuildEndedError, with the build's own error, when it did not end well."""
    if state == "done":
        return
    if state == "deleted":
        raise BuildEndedError(f"build {build_id} was deleted with its site")
    error = client.get("builds", build_id)["error"]
    hint = "its deploy is whole: /builds/ID/push publishes it" if state == "stuck" else ""
    raise BuildEndedError(f"build {build_id} ended: {error or state}", hint=hint)


class _Tail:
    """Where one reader of a log is: `seen` is the id of the last line."""

    def __init__(self, client: ApiClient, build_id: str) -> None:
        self._client = client
        self._build_id = build_id
        self._seen = "0"
        self._opened = False
        self._tries = TRIES
        self.state: str | None = None

    def read(self) -> None:
        """Print what comes until the stream ends, well or not."""
        try:
            path = ("builds", self._build_id, "log", "stream")
            with self._client.events(*path, after=self._seen) as events:
                self._opened = True
                for event in events:
                    self._tries = TRIES
                    if event.event == "end":
                        self.state = event.data
                        return
                    print(plain(event.data), flush=True)
                    self._seen = event.id
        except httpx2.TransportError as error:
            if not self._opened:
                raise unreachable(self._client.address) from error
        self._tries -= 1
        if self._tries == 0:
            raise HopError(
                f"the log of build {self._build_id} broke off",
                hint=f"`blackstart build log {self._build_id} --follow` takes it up again",
            )
        sleep(PAUSE_S)
