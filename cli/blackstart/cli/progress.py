"""How far long work has come: a bar on stderr, which only people in a terminal see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@dataclass(frozen=True)
class Bar:
    """One bar, which is told either what was done or how much that is in all."""

    _progress: Progress
    _task: TaskID

    def advance(self, count: int = 1) -> None:
        """So many more are done."""
        self._progress.advance(self._task, count)

    def reach(self, done: int) -> None:
        """So many are done in all."""
        self._progress.update(self._task, completed=done)


@contextmanager
def bar(what: str, total: int) -> Iterator[Bar]:
    """A bar of `total` steps, gone when the work has ended."""
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    from blackstart.cli.console import err, out

    with Progress(
        *Progress.get_default_columns()[:2],
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
        # What is piped on would otherwise end up on stderr.
        redirect_stdout=out.is_terminal,
    ) as progress:
        yield Bar(progress, progress.add_task(what, total=total))
