"""The journal: what it keeps, and that equal journals have equal digests."""

from __future__ import annotations

import hashlib
import json

from tests.drills.story import Story

from blackstart.drills.journal import Journal


def told() -> Story:
    story = Story()
    story.tell(-1.0, "git.push", "docs", by="owner", commit="c1")
    story.tell(0.0, "fault.injected", "deploys", modified=2)
    story.tell(2.0006, "visit", "docs/", by="visitors", status=404)
    return story


def test_an_entry_says_when_who_what_and_to_which_subject() -> None:
    lines = [json.loads(line) for line in told().journal.lines()]
    assert lines[0] == {
        "offset_s": -1.0,
        "actor": "owner",
        "action": "git.push",
        "subject": "docs",
        "commit": "c1",
    }
    assert [line["offset_s"] for line in lines] == [-1.0, 0.0, 2.001]


def test_each_entry_is_one_line_whatever_it_holds() -> None:
    story = Story()
    story.tell(0.0, "visit", "größe\n\u2028/", path='a "b"\r\n')
    [line] = story.journal.lines()
    assert line.splitlines() == [line]
    assert json.loads(line)["subject"] == "größe\n\u2028/"


def test_the_digest_is_that_of_all_lines_with_their_line_ends() -> None:
    journal = told().journal
    text = "".join(f"{line}\n" for line in journal.lines())
    assert journal.sha256() == hashlib.sha256(text.encode()).hexdigest()


def test_equal_journals_have_equal_digests_and_any_change_shows() -> None:
    first, second = told(), told()
    assert first.journal.sha256() == second.journal.sha256()
    second.tell(3.0, "visit", "docs/", status=200)
    assert first.journal.sha256() != second.journal.sha256()
    assert Story().journal.sha256() == hashlib.sha256(b"").hexdigest()


def test_offsets_count_from_the_fault() -> None:
    story = Story()
    journal = Journal(story, 100.0)  # type: ignore[arg-type]
    story.now = 90.0
    journal("git.push", "docs")
    assert [entry.offset_s for entry in journal] == [-10.0]


def test_since_gives_what_was_written_since() -> None:
    story = told()
    seen = len(story.journal)
    assert story.journal.since(seen) == []
    story.tell(5.0, "visit", "docs/")
    assert [entry.offset_s for entry in story.journal.since(seen)] == [5.0]
    assert story.journal.since(0) == list(story.journal)


def test_entries_can_be_asked_for_by_action_and_keep_their_order() -> None:
    journal = told().journal
    assert [entry.subject for entry in journal.of("visit")] == ["docs/"]
    assert [entry.action for entry in journal.of("visit", "git.push")] == ["git.push", "visit"]
    assert journal.of("never.happened") == []
    journal.of("visit").clear()
    assert len(journal.of("visit")) == 1
