"""The channel: people are told here of what is held and decided; telling never fails its caller.

Each line goes into the embedded channel first. With a webhook it is posted from
there, in order, as soon as the other side takes it: a channel that is down delays
lines and nothing else. A held write stays held, and is decided by any other door.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from blackstart.clock import Clock
from blackstart.errors import BlackstartError, StorageError
from blackstart.events import Events
from blackstart.guard.channel.lines import ChannelFile, ChannelLine
from blackstart.guard.channel.webhook import RefusedError, Webhook
from blackstart.store.threads import in_thread

FAILURE = "the channel could not be kept"
RETRY_S = 5.0
MAX_RETRY_S = 300.0
LOOK_S = 30.0
"""How often it is looked for lines that other processes wrote."""


class GuardChannel:
    """`digest_of` gives a request's digest while it waits for a decision, else None."""

    def __init__(
        self,
        file: ChannelFile,
        clock: Clock,
        events: Events,
        *,
        webhook: Webhook | None = None,
        digest_of: Callable[[int], str | None] = lambda number: None,
    ) -> None:
        self._file = file
        self._clock = clock
        self._events = events
        self._webhook = webhook
        self._digest_of = digest_of
        self._news = clock.event()

    async def tell(self, text: str, *, request: int | None = None) -> None:
        """A line in the channel. Where even that fails, an event says so."""
        try:
            await in_thread(FAILURE, self._file.add, self._clock.now(), text, request)
            self._events("channel.told", str(request or ""), text=text.partition("\n")[0])
        except StorageError as error:
            self._events("channel.not_kept", str(request or ""), error=error.message, text=text)
        self._news.set()

    async def lines(self, after: int = 0) -> list[ChannelLine]:
        """What was told behind a number. Raises: StorageError."""
        return await in_thread(FAILURE, self._file.lines, after)

    async def run(self) -> None:
        """Post lines as they come, until cancelled. Without a webhook there is nothing to do."""
        if self._webhook is None:
            return
        pause_s = RETRY_S
        with suppress(StorageError):
            await in_thread(FAILURE, self._file.posted)
        while True:
            self._news.clear()
            if await self.post_waiting():
                pause_s = RETRY_S
                await self._news.wait(LOOK_S)
            else:
                await self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_RETRY_S)

    async def post_waiting(self) -> bool:
        """Post what was not posted yet, oldest first; False when it has to be tried again."""
        assert self._webhook is not None
        try:
            posted = await in_thread(FAILURE, self._file.posted)
            waiting = await self.lines(posted)
            if waiting and waiting[0].number > posted + 1:
                await self._webhook.post(f"({waiting[0].number - posted - 1} lines are left out)")
            for line in waiting:
                await self._post(self._webhook, line)
                await in_thread(FAILURE, self._file.note_posted, line.number)
        except BlackstartError as error:
            self._events("channel.not_posted", "webhook", error=error.message)
            return False
        return True

    async def _post(self, webhook: Webhook, line: ChannelLine) -> None:
        """Raises: HopError, and what `digest_of` raises."""
        digest = None
        if line.request is not None:
            digest = await in_thread(FAILURE, self._digest_of, line.request)
        try:
            await webhook.post(line.text, request=line.request, digest=digest or "")
        except RefusedError as error:
            # It would be refused for ever, and hold up all behind it.
            self._events("channel.refused", str(line.number), error=error.message)
