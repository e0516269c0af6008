"""Tests of the index on disk."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import fields

import pytest

from blackstart.cdn.storage.table import Reader, Table, row_of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "index.sqlite"


def fill(path, *numbered) -> None:
    table = Table.open(path)
    table.begin(durable=True)
    table.put([row_of(number, entry) for number, entry in numbered])
    table.commit()
    table.close()


def read_all(path, before) -> list[object]:
    table = Table.open(path)
    batches = list(iter(Reader(table, before).batch, []))
    table.close()
    return batches


def values(entry) -> list[object]:
    return [getattr(entry, each.name) for each in fields(entry)]


def test_a_row_holds_all_of_an_entry(path, make_entry) -> None:
    plain = make_entry()
    rich = make_entry(
        selecting=(("accept", None), ("accept-language", "de")),
        part=(1, 2, 3),
        size=1,
        stale=True,
        tags=("a", "b"),
    )
    fill(path, (1, plain), (2, rich))
    (batch,) = read_all(path, 3)
    assert [number for number, _ in batch] == [1, 2]
    assert [values(entry) for _, entry in batch] == [values(plain), values(rich)]


OTHERS = {
    "number": 9,
    "key": "a.example /other",
    "selecting": '[["accept", "x"]]',
    "status": 203,
    "head": b'etag: "3"\r\n',
    "size": 5,
    "part": "[0, 4, 9]",
    "stored_at": 1_486_000_001.0,
    "initial_age_s": 1.0,
    "lifetime_s": 61.0,
    "stale_if_error_s": None,
    "stale_while_revalidate_s": "none",
    "rules": b"5",
    "tags": '["site-3"]',
    "plan": "gree",
    "sum": 1,
}


@pytest.mark.parametrize("column", OTHERS)
def test_a_row_that_is_not_as_it_was_written_is_damage(path, make_entry, column) -> None:
    fill(path, (1, make_entry(stale=True)))
    database = sqlite3.connect(path)
    assert list(OTHERS) == [row[1] for row in database.execute("PRAGMA table_info(entries)")]
    database.execute(f"UPDATE entries SET {column} = ?", [OTHERS[column]])
    database.commit()
    database.close()
    with pytest.raises(sqlite3.DatabaseError, match="is no entry"):
        read_all(path, 10)


def test_a_row_that_was_marked_stale_is_as_it_was_written(path, make_entry) -> None:
    fill(path, (1, make_entry()), (2, make_entry("b /", stale=True)), (3, make_entry("c /")))
    table = Table.open(path)
    table.begin(durable=False)
    table.mark_stale([1, 2])
    table.mark_stale_before(3)
    table.commit()
    table.close()
    assert [entry.stale for _, entry in read_all(path, 9)[0]] == [True, True, False]


def test_a_page_and_what_is_older_than_a_number_can_be_asked_for(path, make_entry) -> None:
    fill(path, (1, make_entry("a /")), (2, make_entry("b /")), (3, make_entry("a /")))
    table = Table.open(path)
    assert [number for number, _ in table.page("a /", 3)] == [1]
    table.close()
    assert [[number for number, _ in batch] for batch in read_all(path, 3)] == [[1, 2]]


def test_what_was_not_committed_is_not_there(path, make_entry) -> None:
    table = Table.open(path)
    table.begin(durable=False)
    table.put([row_of(1, make_entry())])
    table.rollback()
    table.close()
    assert read_all(path, 9) == []


@pytest.mark.parametrize("foreign", [b"no database at all" * 100, None])
def test_a_foreign_file_is_set_aside_and_the_index_begun_anew(path, make_entry, foreign) -> None:
    if foreign is not None:
        path.write_bytes(foreign)
    else:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
        other.close()
    before = path.read_bytes()
    fill(path, (1, make_entry()))
    assert path.with_name("index.sqlite.set-aside").read_bytes() == before
    assert len(read_all(path, 9)) == 1


def test_a_reader_waits_for_the_end_of_a_transaction(path, make_entry) -> None:
    fill(path, (1, make_entry("a /")))
    table = Table.open(path)
    table.begin(durable=False)
    table.delete([1])
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(table.page, "a /", 9)
        wait([seen], timeout=0.05)
        table.rollback()
        assert [number for number, _ in seen.result()] == [1]
    table.close()


def test_a_reader_goes_on_after_each_batch_and_meets_no_new_rows(path, make_entry) -> None:
    fill(path, *[(number, make_entry(f"a /{number}")) for number in range(1, 1200)])
    table = Table.open(path)
    reader = Reader(table, 1200)
    first = reader.batch()
    table.begin(durable=False)
    table.put([row_of(1200, make_entry("a /new"))])
    table.delete([1199])
    table.commit()
    batches = list(iter(reader.batch, []))
    numbers = [number for batch in [first, *batches] for number, _ in batch]
    assert numbers == list(range(1, 1199))
    table.begin_anew()
    assert Reader(table, 1200).batch() == []
    table.close()


def test_an_open_index_has_no_file_in_shared_memory_and_lets_nobody_else_in(path) -> None:
    """Who cut such a file would kill the process that has it mapped."""
    table = Table.open(path)
    table.begin(durable=True)
    table.set("a", "b")
    table.commit()
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, f"{path.name}-wal"]
    other = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM named").fetchall()
    other.close()
    table.close()
