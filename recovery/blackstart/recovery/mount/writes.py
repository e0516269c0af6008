"""The commands that a snapshot refuses: what would write, and what it has no use for.

A mongod that is read-only (`--queryableBackupMode`, which serves backups)
answers a write with IllegalOperation, code 20: MongoDB's own test
`jstests/readonly/write_ops.js` asks for that code, and asks insert, update and
delete for it as the error of their statements.
"""

from __future__ import annotations

from typing import Any

from blackstart.recovery.mount.asked import Asked
from blackstart.wire.faults import CODES

WRITES = frozenset(
    {
        "abortTransaction",
        "appendOplogNote",
        "applyOps",
        "bulkWrite",
        "cleanupOrphaned",
        "clone",
        "cloneCollectionAsCapped",
        "collMod",
        "commitTransaction",
        "compact",
        "convertToCapped",
        "create",
        "createIndexes",
        "createRole",
        "createSearchIndexes",
        "createUser",
        "deleteIndexes",
        "drop",
        "dropAllRolesFromDatabase",
        "dropAllUsersFromDatabase",
        "dropDatabase",
        "dropIndexes",
        "dropRole",
        "dropSearchIndex",
        "dropUser",
        "findAndModify",
        "findandmodify",
        "grantPrivilegesToRole",
        "grantRolesToRole",
        "grantRolesToUser",
        "mapReduce",
        "mapreduce",
        "profile",
        "reIndex",
        "refineCollectionShardKey",
        "renameCollection",
        "replSetInitiate",
        "replSetReconfig",
        "revokePrivilegesFromRole",
        "revokeRolesFromRole",
        "revokeRolesFromUser",
        "setFeatureCompatibilityVersion",
        "setIndexCommitQuorum",
        "setParameter",
        "setUserWriteBlockMode",
        "shutdown",
        "updateRole",
        "updateSearchIndex",
        "updateUser",
    }
)
STATEMENTS = {"insert": "documents", "update": "updates", "delete": "deletes"}
"""Writes of several statements, and the field that has those."""
LOGINS = frozenset({"authenticate", "logout", "saslContinue", "saslStart"})


def refused_statements(asked: Asked, errmsg: str) -> dict[str, Any]:
    """The answer to an insert, update or delete: nothing written, and why.

    After the first error an ordered write stops, an unordered one goes on to the last.
    """
    statements = asked.body.get(STATEMENTS[asked.name])
    count = len(statements) if isinstance(statements, list) else 1
    stopped = 1 if asked.body.get("ordered", True) else count
    errors = [
        {"index": index, "code": CODES["IllegalOperation"], "errmsg": errmsg}
        for index in range(stopped)
    ]
    return {"n": 0, "writeErrors": errors, "ok": 1.0}
