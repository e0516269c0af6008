"""The day in a few lines, drawn from the journal alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from blackstart.drills.journal import Entry, Journal

MIGRATION = "migration"
"""Whose doings are told from before the fault on: it asks first."""

Tell = Callable[[Entry], str]


@dataclass(frozen=True)
class Moment:
    """Something worth telling: `offset_s` after the fault."""

    offset_s: float
    event: str


def timeline(journal: Journal) -> list[Moment]:
    """The telling moments of a drill, in order."""
    moments = [
        *_guard_moments(journal),
        *_each(journal, "fault.injected", lambda entry: f"fault: {_modified(entry)}"),
        *_first(journal, "alert.fired", lambda entry: f"alert {entry.subject} fires"),
        *_each(
            journal,
            "responders.found",
            lambda entry: (
                f"{count(entry.details['deploys'], 'damaged deploy')} found; sites that show "
                f"one: {entry.details['sites_down']}"
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
            lambda entry: f"snapshot readable: {_readable(entry)}",
        ),
        *_each(
            journal,
            "source.opened",
            lambda entry: f"{entry.subject} readable: {_readable(entry)}",
        ),
        *_first(
            journal,
            "deploy.restored",
            lambda _: "first deploy restored, by hand",
            actor="backup",
        ),
        *_first(
            journal,
            "deploy.restored",
            lambda _: "restore script starts",
            actor="restore-script",
        ),
        *_last(journal, "deploy.restored", lambda _: "last deploy restored"),
        *_each(
            journal,
            "responders.listed",
            lambda entry: f"{count(entry.details['sites'], 'site')} neither restored nor rebuilt",
        ),
        *_last(journal, "site.reverted", lambda _: "last site reverted"),
        *_each(
            journal,
            "responders.listed_missing_files",
            lambda entry: (
                f"files that never arrived: {count(len(entry.details['missing']), 'deploy')}"
            ),
        ),
    ]
    return sorted(moments, key=lambda moment: moment.offset_s)


def _guard_moments(journal: Journal) -> list[Moment]:
    """What the guard did about the write: some of it comes before the write runs."""
    held = () if journal.of("request.let through") else ("write.held",)
    return [
        *_each(journal, "snapshot.taken", lambda _: "snapshot right before the write", MIGRATION),
        *(moment for action in held for moment in _each(journal, action, _held)),
        *_each(
            journal,
            "request.said",
            lambda entry: (
                f"{entry.subject} {entry.details['word']} by {entry.details['login']}: "
                f"{entry.details['reason']}"
            ),
        ),
        *_each(journal, "fault.stopped", lambda _: "the migration ends with the guard's error"),
        *_each(journal, "cause.found", _cause),
        *_each(journal, "cause.unknown", lambda _: "the audit trail knows of no such write"),
    ]


def _held(entry: Entry) -> str:
    matched, total = entry.details["matched"], entry.details["total"]
    lost = ", ".join(entry.details["dropped"]) or "none"
    return (
        f"write held as {entry.subject}: {matched} of {total} deploys "
        f"({matched / max(total, 1):.1%}); fields lost: {lost}"
    )


def _cause(entry: Entry) -> str:
    return (
        f"audit trail: {entry.subject} of {entry.details['login']}, sent at "
        f"{offset_text(entry.details['sent_at'])}, set it ({entry.details['outcome']}); "
        f"{count(len(entry.details['holding']), 'deploy')} hold what it left"
    )


def _readable(entry: Entry) -> str:
    found, damaged = entry.details["found"], entry.details["damaged"]
    return f"{found} of {count(damaged, 'damaged deploy')} in it"


def _modified(entry: Entry) -> str:
    return f"metadata of {count(entry.details['modified'], 'deploy')} overwritten"


def count(number: int, what: str) -> str:
    """`1 site`, `2 sites`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _each(journal: Journal, action: str, tell: Tell, actor: str | None = None) -> list[Moment]:
    return [
        Moment(entry.offset_s, tell(entry))
        for entry in journal.of(action)
        if (entry.offset_s >= 0 or actor == MIGRATION) and actor in (None, entry.actor)
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
