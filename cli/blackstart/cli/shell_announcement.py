"""A console told to its guard: one connection that is held open as long as the console lives.

The guard sees the connection end, also when the console is killed.
"""

from __future__ import annotations

import getpass
import socket
import sys
import threading

from pymongo.errors import PyMongoError

from blackstart.cli.guard_client import open_client, told
from blackstart.cli.guard_door import Door

BEAT_S = 10.0
"""How often it says so again: when the connection or the guard ended, it begins anew."""


class Announcement:
    """Raises (at its beginning): HopError, GuardRefusedError; then there is to be no console."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._client = open_client(door, "blackstart console", maxPoolSize=1)
        self._over = threading.Event()
        self._beat = threading.Thread(target=self._go_on, name="console", daemon=True)

    def __enter__(self) -> Announcement:
        try:
            self._say()
        except PyMongoError as error:
            self._client.close()
            raise told(error, self._door) from error
        self._beat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._beat.join()
        self._client.close()

    def _say(self) -> None:
        self._client.admin.command("guardConsole", 1, where=_where())

    def _go_on(self) -> None:
        lost = False
        while not self._over.wait(BEAT_S):
            try:
                self._say()
            except PyMongoError as error:
                if not lost:
                    print(f"\nthe guard is lost: {told(error, self._door)}", file=sys.stderr)
                lost = True
            else:
                lost = False


def _where() -> str:
    """The account and the machine, by their own word."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()
