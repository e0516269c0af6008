"""MongoDB addresses that people mistyped: what is wrong, without the password."""

from __future__ import annotations

from blackstart.errors import DatabaseError

HINT = "set BLACKSTART_MONGODB_URI to mongodb://host:port"
ENCODE = "percent-encode : / ? # [ ] @ and % in the user name and the password"


def no_address(uri: str, error: Exception, hint: str = HINT) -> DatabaseError:
    """The error for a URI that the driver cannot read.

    The driver quotes what it stumbles over. Of an address with a password that
    may be a part of the password.
    """
    if "@" in uri:
        return DatabaseError("not a MongoDB address", hint=ENCODE)
    return DatabaseError(f"not a MongoDB address: {error}", hint=hint)
