"""What a build command prints, as lines that are safe to keep and to show."""

from __future__ import annotations

import re
import unicodedata

MAX_LINE = 2000
"""Characters of a line that are kept."""
_MAX_BYTES = 4 * MAX_LINE
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: colours and cursor movements (ECMA-48 section 5.4)
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: window titles and links
    r"|[PX^_][^\x1b]*(?:\x1b\\)?"  # the other strings
    r"|[ -/]*[0-~])"
)
# They turn the direction of the text around them, so that a line reads as another.
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class LineCutter:
    """Cuts a stream of bytes into lines; holds a few thousand bytes at most."""

    def __init__(self) -> None:
        self._held = b""
        self._overlong = False

    def feed(self, data: bytes) -> list[str]:
        """The lines that these bytes complete."""
        *ends, rest = data.split(b"\n")
        lines = []
        for end in ends:
            self._hold(end)
            lines += self.rest(always=True)
        self._hold(rest)
        return lines

    def rest(self, *, always: bool = False) -> list[str]:
        """The last line, which has no end."""
        held, overlong = self._held, self._overlong
        self._held, self._overlong = b"", False
        return [clean(held, overlong=overlong)] if held or always else []

    def _hold(self, data: bytes) -> None:
        room = _MAX_BYTES - len(self._held)
        self._overlong = self._overlong or len(data) > room
        self._held += data[:room]


def clean(line: bytes, *, overlong: bool = False) -> str:
    """One line as text, as a terminal would end up showing it, with nothing that it would obey."""
    text = _ESCAPES.sub("", line.decode(errors="replace")).rstrip("\r").rpartition("\r")[2]
    text = "".join(filter(_is_shown, text.expandtabs(4)))
    if overlong or len(text) > MAX_LINE:
        return text[:MAX_LINE] + " [cut]"
    return text


def _is_shown(char: str) -> bool:
    return char not in _TURNING and unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
