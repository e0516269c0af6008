"""Words of others on one line: what people read must not look like something else."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"\{.*\}|\[.*\]|'.*'|\".*\"", re.DOTALL)
"""From the first mark to the last of its kind: what a value has in it cannot end it early."""
LINE_CHARACTERS = 500


def one_line(text: str, most: int = LINE_CHARACTERS) -> str:
    """A text without line ends, terminal codes and marks of direction, and not without end.

    Such a character is shown as its number, so that it is seen that somebody tried.
    """
    cut = text if len(text) <= most else f"{text[:most]} ..."
    if cut.isprintable():
        return cut
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in cut)


def without_values(text: str) -> str:
    """An error of the database's for others than its client: it may quote from documents.

    All that stands in quotes or brackets goes, for no field tells what it is.
    """
    told = text.partition(", full error:")[0]
    return one_line(_QUOTED.sub(lambda found: f"{found[0][0]}...{found[0][-1]}", told))
