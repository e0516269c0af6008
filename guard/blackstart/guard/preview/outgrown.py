"""Whether a write would do more now than the reviewer was shown."""

from __future__ import annotations

from blackstart.guard.preview.model import Part, Preview

GROWTH = 0.1
SLACK = 10
"""So many documents more, or a tenth, are no news: a database that is used does not stand still."""


def outgrown(shown: Preview, now: Preview) -> str | None:
    """What a reviewer did not see, in a line for people; None when that is nothing.

    What could be counted then and cannot be now is not held against it.
    """
    if len(shown.parts) != len(now.parts):
        return f"it had {len(shown.parts)} parts, and now has {len(now.parts)}"
    for before, after in zip(shown.parts, now.parts, strict=True):
        found = _part(before, after)
        if found is not None:
            return f"{after.what} on {after.namespace}: {found}"
    return None


def _part(before: Part, after: Part) -> str | None:
    if before.matched is not None and after.matched is not None:
        most = before.matched + max(SLACK, int(before.matched * GROWTH))
        if after.matched > most:
            return f"{before.matched} documents matched, and now {after.matched} do"
    for what in ("dropped", "replaced"):
        new = sorted(set(getattr(after, what)) - set(getattr(before, what)))
        if new:
            return f"now {', '.join(new[:5])} would be {what}, too"
    return None
