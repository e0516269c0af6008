"""Every error Blackstart raises on purpose, in one tree.

    BlackstartError
    ├── UsageError                 what the person asked for makes no sense
    ├── UnauthorizedError          nobody we know: no token, or not a valid one
    ├── ForbiddenError             a valid token that may not do this
    ├── SignOffError               a person who may not decide about this held write
    ├── RateLimitedError           too many requests in this minute
    ├── NotFoundError              no such site, deploy, build, object
    │   └── ObjectNotFoundError    the object store has no such key
    ├── ConflictError              the world changed since the caller looked
    ├── InvalidDocumentError       a stored document does not validate
    │   └── InvalidDeployError     a deploy's metadata does not validate
    ├── PublishCheckError          the publish check could not compare
    ├── TooLargeError              more bytes or files than are taken
    ├── DigestMismatchError        bytes do not have the digest they claim
    ├── RepositoryError            git could not give us the commit, or it is not a site
    │   └── BuildCommandError      the site's build command failed or hit a limit
    ├── HopError                   the next hop gave no answer
    ├── WireError                  bytes that are not MongoDB's wire protocol
    ├── StorageError               the object store or a disk failed
    ├── DatabaseError              MongoDB failed or cannot be reached
    └── ProcessError               a child process could not be started

Each class carries the HTTP status that fits it, a hint for the person who
reads it, and whether it is *definite*: a definite failure did not happen and
may be retried freely, an indefinite one may have happened.
"""

from __future__ import annotations

from typing import ClassVar


class BlackstartError(Exception):
    """Root of all errors raised on purpose; its text is one line a person can act on."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    definite: ClassVar[bool] = True

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class UsageError(BlackstartError):
    """What the person asked for makes no sense; nothing was done."""

    status = 400
    code = "bad_request"


class UnauthorizedError(BlackstartError):
    """Nobody we know; `presented` tells a token that is not valid from none at all."""

    status = 401
    code = "unauthorized"

    def __init__(self, message: str, *, presented: bool, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.presented = presented


class ForbiddenError(BlackstartError):
    """The token is valid, and lacks the scope that this takes."""

    status = 403
    code = "forbidden"

    def __init__(self, scope: str) -> None:
        super().__init__(
            f"this needs a token with the scope {scope}",
            hint=f"make one with `blackstart token create NAME --scope {scope}`",
        )
        self.scope = scope


class SignOffError(BlackstartError):
    """This person, or this login, may not decide about this held write; it stays as it is."""

    status = 403
    code = "sign_off"


class RateLimitedError(BlackstartError):
    """Too many requests; nothing was done, and it may be asked again in `retry_after_s`."""

    status = 429
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message, hint=f"wait {retry_after_s} seconds, or until X-RateLimit-Reset")
        self.retry_after_s = retry_after_s


class NotFoundError(BlackstartError):
    """There is no such thing."""

    status = 404
    code = "not_found"


class ObjectNotFoundError(NotFoundError):
    """The object store holds nothing under that key."""

    code = "object_not_found"


class ConflictError(BlackstartError):
    """A compare-and-set lost: the document is not what the caller saw."""

    status = 409
    code = "conflict"


class InvalidDocumentError(BlackstartError):
    """A document is not what its model says; somebody wrote past the platform."""

    code = "invalid_document"


class InvalidDeployError(InvalidDocumentError):
    """A deploy that had to be read has metadata that does not validate."""

    code = "invalid_deploy"

    def __init__(self, deploy_id: str, reason: str) -> None:
        super().__init__(
            f"deploy {deploy_id} has invalid metadata: {reason}",
            hint="restore it from a snapshot, rebuild it, or revert the site",
        )
        self.deploy_id = deploy_id


class PublishCheckError(BlackstartError):
    """The publish check could not compare a deploy with the site's latest completed one."""

    status = 409
    code = "publish_check"


class TooLargeError(BlackstartError):
    """More bytes or files than are taken; what lies beyond was not read."""

    status = 413
    code = "too_large"


class DigestMismatchError(BlackstartError):
    """The bytes did not match the digest they were announced under; nothing was stored."""

    status = 422
    code = "digest_mismatch"


class RepositoryError(BlackstartError):
    """git could not deliver the repository, branch or commit, or what it holds is not a site."""

    status = 422
    code = "repository"


class BuildCommandError(RepositoryError):
    """The site's build command failed, hit a limit or was stopped; nothing was published."""

    code = "build_command"


class HopError(BlackstartError):
    """The next hop did not answer; whether it saw the request is unknown.

    `kind` is how a node's metrics tell such errors apart; `retry_after_s` when it
    may be worth asking again, where that is known.
    """

    status = 502
    code = "hop"
    definite = False
    kind = "hop"
    retry_after_s: float | None = None


class WireError(BlackstartError):
    """Bytes that are not MongoDB's wire protocol, or more of them than are taken."""

    status = 400
    code = "bad_request"


class StorageError(BlackstartError):
    """The object store or a disk failed."""

    status = 503
    code = "storage"
    definite = False


class DatabaseError(BlackstartError):
    """MongoDB failed or cannot be reached."""

    status = 503
    code = "database"
    definite = False


class ProcessError(BlackstartError):
    """A child process could not be started or died early."""

    code = "process"
