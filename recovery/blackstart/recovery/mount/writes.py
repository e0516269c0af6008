"""The commands that a snapshot refuses: what would write, and what it has no use for.

A mongod that is read-only (`--queryableBackupMode`, which serves backups)
answers a write with IllegalOperation, code 20: MongoDB's own test
`jstests/readonly/write_ops.js` asks for that code.
"""

from __future__ import annotations

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
        "delete",
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
        "insert",
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
        "update",
        "updateRole",
        "updateSearchIndex",
        "updateUser",
    }
)
LOGINS = frozenset({"authenticate", "logout", "saslContinue", "saslStart"})
