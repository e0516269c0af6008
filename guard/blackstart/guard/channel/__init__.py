"""Where people are told of held writes, and may answer: an embedded channel, and a webhook's."""

from blackstart.guard.channel.callbacks import Callbacks, Pressed, check_signature
from blackstart.guard.channel.channel import GuardChannel
from blackstart.guard.channel.lines import ChannelFile, ChannelLine
from blackstart.guard.channel.opening import open_channel
from blackstart.guard.channel.webhook import RefusedError, Webhook, message_of

__all__ = [
    "Callbacks",
    "ChannelFile",
    "ChannelLine",
    "GuardChannel",
    "Pressed",
    "RefusedError",
    "Webhook",
    "check_signature",
    "message_of",
    "open_channel",
]
