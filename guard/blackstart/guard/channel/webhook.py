"""Posts lines to an incoming webhook, in the form that Slack takes and others have copied.

A held write comes with a place for a reason and two buttons, whose values carry
the request's number and digest (Slack's Block Kit: `input` and `actions`).
"""

from __future__ import annotations

import json
from typing import Any

import httpx2

from blackstart.errors import HopError, UsageError

TEXT_CHARACTERS = 2_900
"""A little below what a block of text may hold."""
APPROVE, REJECT = "guard-approve", "guard-reject"
REASON = "guard-reason"
TIMEOUT_S = 10.0


class RefusedError(UsageError):
    """The webhook will not take this message, however often it is sent."""


class Webhook:
    """One incoming webhook; its URL is a secret and is not told."""

    def __init__(self, url: str, client: httpx2.AsyncClient) -> None:
        """Raises: UsageError for what is no URL."""
        if not url.startswith(("https://", "http://")):
            raise UsageError("the channel's webhook is no URL", hint="it begins with https://")
        self._url = url
        self._client = client

    async def post(self, text: str, *, request: int | None = None, digest: str = "") -> None:
        """A message; with buttons where a digest says that there is something to decide.

        Raises: RefusedError; HopError, and then it may be tried again.
        """
        message = message_of(text, request=request, digest=digest)
        try:
            answer = await self._client.post(self._url, json=message, timeout=TIMEOUT_S)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            raise HopError(f"the channel's webhook gave no answer: {reason}") from error
        if answer.is_success:
            return
        reason = f"the channel's webhook answered {answer.status_code}: {answer.text[:100]}"
        if answer.status_code in (400, 413):
            raise RefusedError(reason)
        raise HopError(reason)


def message_of(text: str, *, request: int | None = None, digest: str = "") -> dict[str, Any]:
    """What is posted: a text for notifications and old readers, and blocks for the others.

    The block is plain text, so that nothing in a command can call people or look like a link.
    """
    cut = text if len(text) <= TEXT_CHARACTERS else f"{text[:TEXT_CHARACTERS]} ..."
    blocks: list[dict[str, Any]] = [
        {"type": "section", "text": {"type": "plain_text", "text": cut, "emoji": False}}
    ]
    if request is not None and digest:
        blocks += _question(request, digest)
    return {"text": _escaped(cut.splitlines()[0] if cut else ""), "blocks": blocks}


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
