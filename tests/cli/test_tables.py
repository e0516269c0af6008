"""Tests of tables: as wide as the terminal, and in a pipe one line for each row."""

from __future__ import annotations

import pytest

from blackstart.cli.tables import print_table

ROWS = [["http://a.example/" + "x" * 100, "1"], ["short", "22"]]


def test_in_a_pipe_a_row_is_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table({"page": True, "n": False}, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[2:]] == ROWS
    assert {len(line) for line in lines} == {122}


def test_where_the_width_is_told_the_cells_are_folded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_table({"page": True, "n": False}, ROWS)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) > 4
