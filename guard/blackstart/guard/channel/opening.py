"""Opens the channel of a guard: the embedded one, and its webhook if there is one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2

from blackstart.clock import Clock
from blackstart.events import Events
from blackstart.guard.channel.channel import FAILURE, GuardChannel
from blackstart.guard.channel.lines import ChannelFile
from blackstart.guard.channel.webhook import Webhook
from blackstart.store.threads import in_thread


@asynccontextmanager
async def open_channel(
    folder: Path,
    clock: Clock,
    events: Events,
    *,
    webhook: str = "",
    page: str = "",
    digest_of: Callable[[int], str | None] = lambda number: None,
) -> AsyncIterator[GuardChannel]:
    """A channel whose lines are kept in `folder`, and posted to the URL `webhook` as they come.

    Messages lead to `page`, and have buttons where `digest_of` gives a digest.
    Raises: UsageError for a webhook that is no URL, StorageError.
    """
    file = ChannelFile(folder)
    async with AsyncExitStack() as stack:
        posts = None
        if webhook:
            client = await stack.enter_async_context(httpx2.AsyncClient())
            posts = Webhook(webhook, client, page=page)
            # Before anything is told: a webhook that is new is told all from here on.
            await in_thread(FAILURE, file.posted)
        channel = GuardChannel(file, clock, events, webhook=posts, digest_of=digest_of)
        await stack.enter_async_context(clock.beside("channel", channel.run()))
        yield channel
