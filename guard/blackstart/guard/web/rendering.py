"""How templates become pages: everything is escaped, and nothing in a value can hide or pose."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from blackstart.guard.preview.model import Part

FOLDER = Path(__file__).parent / "templates"
_UNSEEN = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Categories of characters that show nothing, or turn round what stands beside them."""


def render(template: str, context: Mapping[str, Any]) -> str:
    """A page as HTML."""
    return _environment().get_template(template).render(context)


def visible(value: object) -> str:
    """A value as text in which every character is seen, such as `\\u202e` for a reversal."""
    return "".join(
        char if char == "\n" or unicodedata.category(char) not in _UNSEEN else _escaped(char)
        for char in str(value)
    )


def command_text(command: Mapping[str, Any]) -> str:
    """A command as people read it."""
    return json.dumps(command, indent=2, ensure_ascii=False)


def extent(part: Part) -> str:
    """How many documents a part is about, such as `52 of 1,000 (5.2 %)`."""
    if part.matched is None:
        return "not counted"
    if part.percent is None:
        return f"{part.matched:,}"
    return f"{part.matched:,} of {part.total:,} ({part.percent:.1f} %)"


def clock_text(at: datetime) -> str:
    """A time as a page has it: of the whole world, since reviewers may be anywhere."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def ago(at: datetime, now: datetime) -> str:
    """How long ago it was, or how long it is until then, in the largest unit that fits."""
    seconds = abs((now - at).total_seconds())
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} s"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "command": command_text,
        "extent": extent,
        "clock": clock_text,
        "ago": ago,
    }
    return made


def _finalize(value: object) -> object:
    return value if isinstance(value, Markup) else visible(value)


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
