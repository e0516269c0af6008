"""Words of others on one line: what people read must not look like something else."""

from __future__ import annotations

LINE_CHARACTERS = 500


def one_line(text: str, most: int = LINE_CHARACTERS) -> str:
    """A text without line ends, terminal codes and marks of direction, and not without end.

    Such a character is shown as its number, so that it is seen that somebody tried.
    """
    cut = text if len(text) <= most else f"{text[:most]} ..."
    if cut.isprintable():
        return cut
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in cut)
