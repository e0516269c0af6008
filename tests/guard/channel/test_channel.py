"""The channel: durable lines, posted when the other side takes them, and never in the way."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Recorder
from tests.guard.channel.conftest import OtherSide

from blackstart.clock import WallClock
from blackstart.errors import HopError, NotFoundError, UsageError
from blackstart.guard.channel import ChannelFile, GuardChannel, RefusedError, Webhook
from blackstart.guard.channel.webhook import TEXT_CHARACTERS, message_of


@pytest.fixture
def file(tmp_path: Path) -> ChannelFile:
    return ChannelFile(tmp_path / "channel")


@pytest.fixture
def channel(file: ChannelFile, manual_clock: Any, webhook: Webhook) -> GuardChannel:
    file.note_posted(0)
    digests = {7: "d" * 64}
    return GuardChannel(file, manual_clock, Recorder(), webhook=webhook, digest_of=digests.get)


async def test_lines_are_kept_in_order_for_every_process(
    channel: GuardChannel, tmp_path: Path, manual_clock: Any
) -> None:
    await channel.tell("one", request=7)
    await channel.tell("two\nlines")
    found = ChannelFile(tmp_path / "channel").lines()
    assert [(line.number, line.text, line.request) for line in found] == [
        (1, "one", 7),
        (2, "two\nlines", None),
    ]
    assert found[0].at == manual_clock.now()
    assert [line.number for line in await channel.lines(after=1)] == [2]


async def test_a_torn_line_is_passed_over_and_what_follows_is_whole(
    channel: GuardChannel, tmp_path: Path
) -> None:
    await channel.tell("one")
    path = tmp_path / "channel" / "channel.jsonl"
    path.write_bytes(path.read_bytes() + b'{"number": 2, "te')
    await channel.tell("two")
    assert [line.text for line in await channel.lines()] == ["one", "two"]


async def test_the_newest_lines_are_kept_and_numbers_go_on(
    tmp_path: Path, manual_clock: Any
) -> None:
    file = ChannelFile(tmp_path, kept=5)
    for number in range(1, 24):
        assert file.add(manual_clock.now(), f"line {number}").number == number
    lines = file.lines()
    assert 5 <= len(lines) <= 10
    assert lines[-1].number == 23


async def test_a_disk_that_fails_does_not_stop_who_tells(
    file: ChannelFile, manual_clock: Any, tmp_path: Path
) -> None:
    events = Recorder()
    channel = GuardChannel(file, manual_clock, events)
    (tmp_path / "channel" / "channel.jsonl").mkdir()
    await channel.tell("request 7 is held", request=7)
    ((action, subject, details),) = events.happened
    assert (action, subject, details["text"]) == ("channel.not_kept", "7", "request 7 is held")


async def test_lines_are_posted_in_order_and_once(
    channel: GuardChannel, other_side: OtherSide
) -> None:
    await channel.tell("one")
    await channel.tell("two")
    assert await channel.post_waiting()
    await channel.tell("three")
    assert await channel.post_waiting()
    assert other_side.texts() == ["one", "two", "three"]


async def test_a_webhook_that_is_down_delays_lines_and_loses_none(
    channel: GuardChannel, other_side: OtherSide
) -> None:
    other_side.is_down = True
    await channel.tell("one")
    await channel.tell("two")
    assert not await channel.post_waiting()
    other_side.is_down, other_side.answers = False, [503, 200, 429]
    assert not await channel.post_waiting()
    assert not await channel.post_waiting()
    assert await channel.post_waiting()
    assert other_side.texts() == ["one", "two"]


async def test_a_line_that_is_refused_for_good_holds_up_nothing(
    channel: GuardChannel, other_side: OtherSide
) -> None:
    other_side.answers = [400]
    await channel.tell("one")
    await channel.tell("two")
    assert await channel.post_waiting()
    assert other_side.texts() == ["two"]


async def test_a_new_webhook_is_not_told_of_old_times(
    file: ChannelFile, manual_clock: Any, webhook: Webhook, other_side: OtherSide
) -> None:
    file.add(manual_clock.now(), "long ago")
    channel = GuardChannel(file, manual_clock, Recorder(), webhook=webhook)
    assert await channel.post_waiting()
    await channel.tell("now")
    assert await channel.post_waiting()
    assert other_side.texts() == ["now"]


async def test_lines_that_were_dropped_meanwhile_are_counted(
    tmp_path: Path, manual_clock: Any, webhook: Webhook, other_side: OtherSide
) -> None:
    file = ChannelFile(tmp_path, kept=2)
    file.note_posted(0)
    for number in range(1, 6):
        file.add(manual_clock.now(), f"line {number}")
    assert await GuardChannel(file, manual_clock, Recorder(), webhook=webhook).post_waiting()
    assert other_side.texts() == ["(2 lines are left out)", "line 3", "line 4", "line 5"]


async def test_a_request_that_is_gone_is_tried_again_and_breaks_nothing(
    file: ChannelFile, manual_clock: Any, webhook: Webhook
) -> None:
    def gone(number: int) -> str:
        raise NotFoundError(f"no request {number}")

    file.note_posted(0)
    channel = GuardChannel(file, manual_clock, Recorder(), webhook=webhook, digest_of=gone)
    await channel.tell("one", request=7)
    assert not await channel.post_waiting()


async def test_what_is_told_while_it_runs_goes_out_by_itself(
    file: ChannelFile, webhook: Webhook, other_side: OtherSide, until: Any
) -> None:
    channel = GuardChannel(file, WallClock(), Recorder(), webhook=webhook)
    task = asyncio.create_task(channel.run())
    try:
        await until((file._folder / "posted").exists)
        await channel.tell("one")
        await until(lambda: other_side.texts() == ["one"])
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_held_write_comes_with_buttons_and_what_is_decided_without(
    channel: GuardChannel, other_side: OtherSide
) -> None:
    await channel.tell("request 7: ada wants to run a delete", request=7)
    await channel.tell("request 8 rejected by bob", request=8)
    assert await channel.post_waiting()
    held, decided = other_side.posted
    assert [block["type"] for block in held["blocks"]] == ["section", "input", "actions"]
    assert [block["type"] for block in decided["blocks"]] == ["section"]
    values = [button["value"] for button in held["blocks"][2]["elements"]]
    assert values == ['{"request": 7, "digest": "' + "d" * 64 + '"}'] * 2


def test_nothing_in_a_command_calls_people_or_grows_without_bound() -> None:
    message = message_of("<!channel> & <https://x|y>\n" + "x" * 9_000)
    assert message["text"] == "&lt;!channel&gt; &amp; &lt;https://x|y&gt;"
    (section,) = message["blocks"]
    assert section["text"]["type"] == "plain_text"
    assert len(section["text"]["text"]) <= TEXT_CHARACTERS + 4


async def test_the_webhooks_errors_are_told_apart_and_keep_its_secret(
    webhook: Webhook, other_side: OtherSide
) -> None:
    other_side.answers = [400, 404]
    with pytest.raises(RefusedError) as refused:
        await webhook.post("x")
    with pytest.raises(HopError) as missing:
        await webhook.post("x")
    other_side.is_down = True
    with pytest.raises(HopError) as down:
        await webhook.post("x")
    assert not any("secret" in str(each.value) for each in (refused, missing, down))
    with pytest.raises(UsageError):
        Webhook("hooks.example.org", webhook._client)
