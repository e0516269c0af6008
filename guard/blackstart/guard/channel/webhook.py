"""Posts lines to an incoming webhook, in the form that Slack takes and others have copied.

A held write comes with a place for a reason and two buttons, whose values carry
the request's number and digest (Slack's Block Kit: `input` and `actions`).
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2

from blackstart.errors import HopError, UsageError

TEXT_CHARACTERS = 2_900
"""A little below what a block of text may hold."""
APPROVE, REJECT = "guard-approve", "guard-reject"
REASON = "guard-reason"
TIMEOUT_S = 10.0
SAID_BYTES = 100
"""So much of an answer is read, to tell what went wrong."""


class RefusedError(UsageError):
    """The webhook will not take this message, however often it is sent."""


class Webhook:
    """One incoming webhook; its URL is a secret and is not told."""

    def __init__(
        self,
        url: str,
        client: httpx2.AsyncClient,
        *,
        page: str = "",
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`page` is where people reach the guard's page: messages lead there.

        Raises: UsageError for what is no URL.
        """
        if not url.startswith(("https://", "http://")):
            raise UsageError("the channel's webhook is no URL", hint="it begins with https://")
        self._url = url
        self._client = client
        self._page = page
        self._timeout_s = timeout_s

    async def post(self, text: str, *, request: int | None = None, digest: str = "") -> None:
        """A message; with buttons where a digest says that there is something to decide.

        Raises: RefusedError; HopError, and then it may be tried again.
        """
        message = message_of(text, request=request, digest=digest, page=self._page)
        try:
            # In all: the client's own limit begins anew with each byte of an answer that drips.
            async with asyncio.timeout(self._timeout_s):
                status, said = await self._exchange(message)
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise HopError(f"the channel's webhook gave no answer: {reason}") from error
        if 200 <= status < 300:
            return
        reason = f"the channel's webhook answered {status}: {said}"
        if status in (400, 413):
            raise RefusedError(reason)
        raise HopError(reason)

    async def _exchange(self, message: dict[str, Any]) -> tuple[int, str]:
        """The status, and the beginning of what was said with it."""
        said = b""
        async with self._client.stream(
            "POST", self._url, json=message, timeout=self._timeout_s
        ) as answer:
            async for chunk in answer.aiter_bytes():
                said += chunk[:SAID_BYTES]
                if len(said) >= SAID_BYTES:
                    break
        return answer.status_code, said[:SAID_BYTES].decode(errors="replace")


def message_of(
    text: str, *, request: int | None = None, digest: str = "", page: str = ""
) -> dict[str, Any]:
    """What is posted: a text for notifications and old readers, and blocks for the others.

    The block is plain text, so that nothing in a command can call people or look like a link.
    """
    cut = text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]} ..."
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "plain_text", "text": cut, "emoji": False}}
    ]
    first = _escaped(cut.splitlines()[0] if cut else "")
    if request is not None and page:
        link = f"<{page.rstrip('/')}/requests/{request}|Request {request} on the guard's page>"
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": link}]})
        first = f"{first} {link}"
    if request is not None and digest:
        blocks += _question(request, digest)
    return {"text": first, "blocks": blocks}


def _question(request: int, digest: str) -> list[dict[str, Any]]:
    value = json.dumps({"request": request, "digest": digest})
    field = {"type": "plain_text_input", "action_id": REASON, "max_length": 2_000}
    label = {"type": "plain_text", "text": "Why"}
    return [
        {"type": "input", "block_id": REASON, "label": label, "element": field},
        {
            "type": "actions",
            "elements": [
                _button(APPROVE, "Approve", "primary", value),
                _button(REJECT, "Reject", "danger", value),
            ],
        },
    ]


def _button(action: str, text: str, style: str, value: str) -> dict[str, Any]:
    label = {"type": "plain_text", "text": text}
    return {"type": "button", "action_id": action, "text": label, "style": style, "value": value}


def _escaped(text: str) -> str:
    """Slack's three characters of its own; an escaped `<` can begin no mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
