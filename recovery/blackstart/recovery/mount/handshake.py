"""What a client asks before it reads: who answers, and how it is spoken to.

A mount gives itself as a standalone mongod of version 7.0 that is read-only:
the fields are those of MongoDB's pages on `hello` and `buildInfo`.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

from blackstart.clock import Clock
from blackstart.recovery.mount.asked import Asked
from blackstart.wire import CommandError, Peer, agreed_compressors
from blackstart.wire.limits import MAX_MESSAGE_BYTES

Result = dict[str, Any]

VERSION = "7.0.0"
WIRE_VERSION = 21
"""MongoDB 7.0's."""
_SESSION_MINUTES = 30
_PARAMETERS = {"featureCompatibilityVersion": {"version": "7.0"}, "authenticationMechanisms": []}


class Handshake:
    """Answers a client that connects, and what tools ask of the server as such."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at = clock.now()

    def hello(self, asked: Asked, peer: Peer) -> Result:
        answer: Result = {
            "helloOk": True,
            "isWritablePrimary" if asked.name == "hello" else "ismaster": True,
            "maxBsonObjectSize": 16 * 1024 * 1024,
            "maxMessageSizeBytes": MAX_MESSAGE_BYTES,
            "maxWriteBatchSize": 100_000,
            "localTime": self._clock.now(),
            "logicalSessionTimeoutMinutes": _SESSION_MINUTES,
            "connectionId": peer.number,
            "minWireVersion": 0,
            "maxWireVersion": WIRE_VERSION,
            "readOnly": True,
            "ok": 1.0,
        }
        if "compression" in asked.body:
            answer["compression"] = agreed_compressors(asked.body["compression"])
        return answer

    def build_info(self) -> Result:
        return {
            "version": VERSION,
            "gitVersion": "none",
            "modules": [],
            "allocator": "system",
            "javascriptEngine": "none",
            "sysInfo": "deprecated",
            "versionArray": [*(int(part) for part in VERSION.split(".")), 0],
            "bits": 64,
            "debug": False,
            "maxBsonObjectSize": 16 * 1024 * 1024,
            "storageEngines": ["snapshot"],
            "ok": 1.0,
        }

    def get_parameter(self, asked: Asked) -> Result:
        """The few that clients look at. Raises: CommandError for none of them."""
        wanted = asked.body["getParameter"]
        everything = wanted == "*" or (isinstance(wanted, dict) and wanted.get("allParameters"))
        told = {
            name: value for name, value in _PARAMETERS.items() if everything or name in asked.body
        }
        if not told:
            raise CommandError("InvalidOptions", "no option found to get")
        return told | {"ok": 1.0}

    def connection_status(self, asked: Asked) -> Result:
        nobody: Result = {"authenticatedUsers": [], "authenticatedUserRoles": []}
        if asked.flag("showPrivileges"):
            nobody["authenticatedUserPrivileges"] = []
        return {"authInfo": nobody, "ok": 1.0}

    def server_status(self, peer_count: int) -> Result:
        up_s = (self._clock.now() - self._started_at).total_seconds()
        return {
            "host": platform.node(),
            "version": VERSION,
            "process": "mongod",
            "pid": os.getpid(),
            "uptime": up_s,
            "uptimeMillis": int(up_s * 1000),
            "localTime": self._clock.now(),
            "connections": {"current": peer_count},
            "storageEngine": {"name": "snapshot", "readOnly": True, "persistent": True},
            "ok": 1.0,
        }

    def host_info(self) -> Result:
        return {
            "system": {
                "currentTime": self._clock.now(),
                "hostname": platform.node(),
                "cpuAddrSize": 64,
                "numCores": os.cpu_count() or 1,
                "cpuArch": platform.machine(),
            },
            "os": {"type": platform.system(), "name": sys.platform, "version": platform.release()},
            "extra": {},
            "ok": 1.0,
        }

    def command_line(self) -> Result:
        return {"argv": ["blackstart", "snapshot", "mount"], "parsed": {}, "ok": 1.0}

    def get_log(self, asked: Asked) -> Result:
        """No lines: the mount's log is its terminal."""
        if asked.body["getLog"] == "*":
            return {"names": ["global", "startupWarnings"], "ok": 1.0}
        return {"totalLinesWritten": 0, "log": [], "ok": 1.0}
