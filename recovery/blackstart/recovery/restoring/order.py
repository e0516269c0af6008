"""What a restore is asked for: which documents, which fields of them, and where they go."""

from __future__ import annotations

from dataclasses import dataclass

from blackstart.errors import UsageError
from blackstart.recovery.restoring.wanted import Wanted


@dataclass(frozen=True)
class Order:
    """`collections` empty means all of the snapshot's.

    `fields` empty means whole documents. `into` is the name of another
    collection. `delete_others` removes what the filter matches in the database
    and the snapshot does not hold. Raises: UsageError for what does not go together.
    """

    collections: tuple[str, ...]
    wanted: Wanted
    fields: tuple[tuple[str, ...], ...] = ()
    into: str | None = None
    delete_others: bool = False

    def __post_init__(self) -> None:
        if self.wanted.where and not self.collections:
            raise UsageError("--where needs a --collection", hint="which one is it about?")
        if self.into is not None and len(self.collections) != 1:
            raise UsageError("--into needs one --collection", hint="say what goes there")
        if self.into is not None and not _is_name(self.into):
            raise UsageError(f"--into: {self.into!r} is no collection of yours")
        if self.fields and self.delete_others:
            raise UsageError("--fields and --delete-others do not go together")


def _is_name(text: str) -> bool:
    """Whether MongoDB lets a client have a collection of that name."""
    strange = text.startswith((".", "system.")) or text.endswith(".") or ".." in text
    return bool(text) and not strange and "$" not in text and "\0" not in text
