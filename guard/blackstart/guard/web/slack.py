"""Where Slack, or a server that speaks as it does, sends the presses of buttons."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from blackstart.errors import BlackstartError, NotFoundError, UnauthorizedError
from blackstart.guard.channel import Callbacks
from blackstart.guard.channel.callbacks import MAX_BODY
from blackstart.guard.decisions import Channel
from blackstart.guard.web.bodies import read_body

PATH = "/slack/interactive"


class Slack:
    """Answers callbacks; without `callbacks` nobody could tell who sent them."""

    def __init__(self, callbacks: Callbacks | None, channel: Channel) -> None:
        self._callbacks = callbacks
        self._channel = channel

    async def __call__(self, request: Request) -> Response:
        """An empty answer is what Slack takes for success; for any other it warns who pressed."""
        if self._callbacks is None:
            raise NotFoundError("this guard takes no callbacks")
        try:
            body = await read_body(request, MAX_BODY)
            await self._callbacks.take(request.headers, body)
        except UnauthorizedError as error:
            return PlainTextResponse(f"{error.message}\n", error.status)
        except BlackstartError as error:
            # Slack shows no text to who pressed: the channel says it.
            await self._channel.tell(f"a button that was pressed did not count: {error}")
            return PlainTextResponse(f"{error.message}\n", error.status)
        return Response()
