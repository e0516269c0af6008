"""The day in a few lines, drawn from the journal alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blackstart.drills.journal import Entry, Journal

Tell = Callable[[Entry], str]


@dataclass(frozen=True)
class Moment:
    """Something worth telling: `offset_s` after the fault."""

    offset_s: float
    event: str


def timeline(journal: Journal) -> list[Moment]:
    """The telling moments of a drill, in order."""
    moments = [
        *_each(journal, "fault.injected", lambda entry: f"fault: {_modified(entry)}"),
        *_first(journal, "alert.fired", lambda entry: f"alert {entry.subject} fires"),
        *_each(
            journal,
            "responders.found",
            lambda entry: (
                f"{entry.details['deploys']} damaged deploys found, "
                f"{entry.details['sites_down']} sites show one"
            ),
        ),
        *_first(journal, "build.stuck", lambda _: "first build sticks at the publish check"),
        *_first(journal, "build.pushed", lambda _: "first stuck deploy pushed through by hand"),
        *_first(
            journal,
            "build.pushed",
            lambda _: "emergency script pushes its first stuck deploy",
            actor="push-script",
        ),
        *_each(
            journal,
            "fix.released",
            lambda entry: f"fix live: {entry.subject} ({', '.join(entry.details['safeguards'])})",
        ),
        *_last(journal, "build.stuck", lambda _: "last build sticks"),
        *_each(
            journal,
            "snapshot.opened",
            lambda entry: f"snapshot readable: {entry.details['found']} damaged deploys in it",
        ),
        *_first(journal, "deploy.restored", lambda _: "first deploy restored, by hand"),
        *_first(
            journal,
            "deploy.restored",
            lambda _: "restore script starts",
            actor="restore-script",
        ),
        *_last(journal, "deploy.restored", lambda _: "last deploy restored from the snapshot"),
        *_each(
            journal,
            "responders.listed",
            lambda entry: f"{entry.details['sites']} sites neither restored nor rebuilt",
        ),
        *_last(journal, "site.reverted", lambda _: "last site reverted"),
        *_each(
            journal,
            "responders.listed_missing_files",
            lambda entry: f"{len(entry.details['missing'])} deploys have missing files",
        ),
    ]
    return sorted(moments, key=lambda moment: moment.offset_s)


def _modified(entry: Entry) -> str:
    return f"{entry.details['modified']} deploys lose their metadata"


def _each(journal: Journal, action: str, tell: Tell, actor: str | None = None) -> list[Moment]:
    return [
        Moment(entry.offset_s, tell(entry))
        for entry in journal.of(action)
        if entry.offset_s >= 0 and actor in (None, entry.actor)
    ]


def _first(journal: Journal, action: str, tell: Tell, actor: str | None = None) -> list[Moment]:
    return _each(journal, action, tell, actor)[:1]


def _last(journal: Journal, action: str, tell: Tell, actor: str | None = None) -> list[Moment]:
    return _each(journal, action, tell, actor)[-1:]


def offset_text(offset_s: float) -> str:
    """`T+63 min`, or `T+20 s` below two minutes."""
    sign = "-" if offset_s < 0 else "+"
    if abs(offset_s) < 120:
        return f"T{sign}{abs(offset_s):.0f} s"
    return f"T{sign}{abs(offset_s) / 60:.0f} min"
