"""The janitor: takes deploys on whose control plane died between the last file and the end."""

from __future__ import annotations

from datetime import timedelta

from pymongo.errors import PyMongoError

from blackstart.control.desk import Desk
from blackstart.errors import BlackstartError

EVERY_S = 60.0
UPLOADING_FOR = timedelta(days=1)
"""How long a deploy that still waits for files is looked at; later it goes on when asked for."""


class Janitor:
    """Asks for every deploy that may have been left half-way, as a client would."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def run_forever(self) -> None:
        """Sweep at once and then every minute, until cancelled; what is away is waited for."""
        while True:
            try:
                await self.sweep()
            except PyMongoError as error:
                self._desk.events("janitor.database_away", "janitor", error=type(error).__name__)
            await self._desk.clock.sleep(EVERY_S)

    async def sweep(self) -> None:
        """Finish the deploys whose files are all there; those that wait for files stay as they are.

        One that fails is told as an event, and does not keep the others waiting.
        """
        since = self._desk.clock.now() - UPLOADING_FOR
        for deploy_id in await self._desk.store.deploys.resumable(since=since):
            try:
                await self._desk.incoming.advance(deploy_id)
            except BlackstartError as error:
                self._desk.events("janitor.failed", deploy_id, error=error.message)
