"""Where the origin is, as its URL says it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from blackstart.errors import UsageError


@dataclass(frozen=True, slots=True)
class Address:
    """A server to connect to; `prefix` is put before each target, without a slash at its end."""

    host: str
    port: int
    tls: bool
    prefix: str

    @classmethod
    def from_url(cls, url: str) -> Address:
        """Raises: UsageError when it is no http:// or https:// URL of a server and a path."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise _refused(url, str(error)) from error
        tls = parts.scheme == "https"
        if not tls and parts.scheme != "http":
            raise _refused(url, "it must begin with http:// or https://")
        if not parts.hostname:
            raise _refused(url, "it names no host")
        if "@" in parts.netloc or "?" in url or "#" in url:
            raise _refused(url, "a user, a query or a fragment cannot be passed on")
        if not parts.path.isascii() or any(mark <= " " for mark in parts.path):
            raise _refused(url, "write its path percent-encoded")
        default = 443 if tls else 80
        return cls(parts.hostname, port or default, tls, parts.path.rstrip("/"))


def _refused(url: str, reason: str) -> UsageError:
    return UsageError(f"{url!r} is no origin's URL: {reason}", hint="as in http://127.0.0.1:8080")
