"""The bodies of requests: read up to a limit, and forms out of them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request

from blackstart.errors import TooLargeError, UsageError

FORM_BYTES = 64 * 1024
FORM_FIELDS = 16
FORM_TYPE = "application/x-www-form-urlencoded"


async def read_body(request: Request, limit: int) -> bytes:
    """Raises: TooLargeError; what lies beyond the limit is not read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLargeError(f"a body of more than {limit} bytes")
    return bytes(body)


async def read_form(request: Request) -> Mapping[str, str]:
    """The fields of a form. Raises: TooLargeError; UsageError for what is none."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await read_body(request, FORM_BYTES)
    try:
        if kind != FORM_TYPE:
            raise ValueError("another type")
        fields = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS
        )
    except ValueError as error:
        raise UsageError("this is no form of the page") from error
    found = dict(fields)
    if len(found) < len(fields):
        raise UsageError("a field of the form comes twice")
    return found
