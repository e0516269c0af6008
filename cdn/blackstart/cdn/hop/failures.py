"""How a hop fails, told apart by what the origin may have seen of the request."""

from __future__ import annotations

from ssl import SSLCertVerificationError, SSLError

from blackstart.errors import HopError


class UnreachableError(HopError):
    """No connection came about, so the origin has seen nothing of the request."""

    definite = True
    kind = "unreachable"


class CrowdedError(UnreachableError):
    """All connections were in use for as long as one was waited for."""


class UnsendableError(HopError):
    """The request cannot be written without changing its meaning; nothing was sent."""

    definite = True


class UnansweredError(HopError):
    """The connection ended before the first byte of an answer; the request may have been seen."""

    kind = "unanswered"


class TimedOutError(HopError):
    """An answer, or the rest of one, took longer than it may."""

    status = 504  # RFC 9110 section 15.6.5
    kind = "timeout"


class BrokenOffError(HopError):
    """The body of an answer ended too early."""

    kind = "broken_off"


def no_answer(reason: object) -> HopError:
    """The error for an answer that never came, or came broken; one line with its reason."""
    return HopError(_text(reason), hint=_HINT)


def unreachable(reason: object) -> UnreachableError:
    """The error for a connection that could not be made."""
    hint = _HINT
    if isinstance(reason, SSLCertVerificationError):
        hint = "if its CA is your own, name that in SSL_CERT_FILE"
    elif isinstance(reason, SSLError):
        hint = "does it speak TLS there?"
    return UnreachableError(_text(reason), hint=hint)


def crowded(reason: object) -> CrowdedError:
    """The error for a connection that did not become free in time."""
    return CrowdedError(_text(reason), hint="raise the number of connections?")


def unsendable(reason: object) -> UnsendableError:
    """The error for a request that is not passed on."""
    return UnsendableError(_text(reason))


def unanswered(reason: object) -> UnansweredError:
    """The error for a connection that was closed where an answer was due."""
    return UnansweredError(_text(reason), hint=_HINT)


def broken_off(reason: object) -> HopError:
    """The error for an answer whose body ended too early."""
    return BrokenOffError(f"the origin broke off its answer: {reason}")


def timed_out(reason: object, *, head_came: bool) -> TimedOutError:
    """The error for an answer that took too long: before its head, or in its body."""
    if head_came:
        return TimedOutError(f"the origin broke off its answer: {reason}")
    return TimedOutError(_text(reason), hint=_HINT)


_HINT = "is it running, and is the origin's URL right?"


def _text(reason: object) -> str:
    said = str(reason) or type(reason).__name__
    return f"the origin gave no answer: {said}"
