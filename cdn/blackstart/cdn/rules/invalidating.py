"""Which stored responses an unsafe request makes invalid (RFC 9111 section 4.4)."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from blackstart.cdn.message import Request, Response

# Safe methods (RFC 9110 section 9.2.1), and those that other specifications registered as safe.
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "PRI"})

_DEFAULT_PORT = {"http": ":80", "https": ":443"}


def key_of(host: str, target: str) -> str:
    """The cache key of a page: the part that all its variants share (section 2)."""
    return f"{host} {target}"


def keys_made_invalid(request: Request, response: Response) -> list[str]:
    """The pages that a successful unsafe request may have changed.

    The target itself, and what Location and Content-Location name on the same
    host: a site must not be able to empty another's cache.
    """
    if request.method in SAFE or not 200 <= response.status < 400:
        return []
    keys = [key_of(request.host, request.target)]
    here = f"{request.scheme}://{request.host}{request.target}"
    for name in ("location", "content-location"):
        value = response.headers.get(name)
        target = None if value is None else _on_host(value, here, request.host)
        if target is not None:
            keys.append(key_of(request.host, target))
    return keys


def is_of_its_target(request: Request, response: Response) -> bool:
    """Whether Content-Location says that this is what a GET of the same target would get."""
    values = response.headers.all("content-location")
    here = f"{request.scheme}://{request.host}{request.target}"
    return len(values) == 1 and _on_host(values[0], here, request.host) == request.target


def _on_host(value: str, here: str, host: str) -> str | None:
    try:
        url = urlsplit(urljoin(here, value.strip()))
    except ValueError:
        return None
    port = _DEFAULT_PORT.get(url.scheme)
    if port is None or url.netloc.lower().removesuffix(port) != host.removesuffix(port):
        return None
    path = url.path or "/"
    return f"{path}?{url.query}" if url.query else path
