"""Where the web page of `blackstart guard` listens."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from blackstart.errors import ProcessError

if TYPE_CHECKING:
    import socket

    from blackstart.guard.settings import GuardSettings


@contextmanager
def bind_page(settings: GuardSettings) -> Iterator[socket.socket | None]:
    """The page's socket; None where there is to be no page, which the settings then say.

    Nobody has to have asked for a page: when its usual port is taken, the guard runs without.
    Raises: UsageError, ProcessError for an address that was asked for and cannot be had.
    """
    import structlog

    from blackstart import service
    from blackstart.guard.settings import NO_PAGE

    log = structlog.get_logger(__name__)
    asked = "guard_http" in settings.model_fields_set
    if not asked and settings.listen.endswith(":0"):
        settings.guard_http = "127.0.0.1:0"
    if settings.guard_http == NO_PAGE:
        yield None
        return
    try:
        sock = service.bind(settings.guard_http)
    except ProcessError as error:
        if asked:
            raise
        log.warning("no web page", why=error.message, hint="give --http HOST:PORT")
        settings.guard_http = NO_PAGE
        yield None
        return
    with sock:
        if not _is_private(settings, sock):
            log.warning(
                "passwords reach the web page in clear",
                hint="give --tls-cert, or BLACKSTART_GUARD_HTTP_URL of a proxy that speaks TLS",
            )
        yield sock


def page_url(settings: GuardSettings, sock: socket.socket) -> str:
    """Where people reach the page."""
    from blackstart.service import url_of

    scheme = "http" if settings.guard_tls_cert is None else "https"
    return (settings.guard_http_url or url_of(sock, scheme)).rstrip("/") + "/"


def _is_private(settings: GuardSettings, sock: socket.socket) -> bool:
    """Whether nobody on the way can read what is sent to the page."""
    if settings.guard_tls_cert is not None or settings.guard_http_url.startswith("https://"):
        return True
    return ipaddress.ip_address(sock.getsockname()[0]).is_loopback
