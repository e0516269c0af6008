"""Short texts are read once, long ones each time."""

from __future__ import annotations

from blackstart.cdn.fields.remembered import LONGEST_REMEMBERED, remembered


def test_only_short_texts_are_remembered() -> None:
    reads = []

    @remembered(2)
    def length(text: str) -> int:
        reads.append(text)
        return len(text)

    short, long = "a" * LONGEST_REMEMBERED, "a" * (LONGEST_REMEMBERED + 1)
    assert [length(each) for each in (short, short, long, long)] == [256, 256, 257, 257]
    assert reads == [short, long, long]
