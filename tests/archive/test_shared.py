from sqlalchemy.dialects import postgresql, sqlite

from evolve.archive.shared import SHARED, in_turn, insert_shared
from evolve.archive.tables import texts, vectors

ROWS = [{"hash": b"b"}, {"hash": b"\xff"}, {"hash": b"a"}]


def test_sqlite_gets_rows_as_they_come_a_dictionary_before_its_texts():
    assert in_turn(texts, ROWS, sqlite.dialect()) == ROWS


def test_a_server_gets_them_in_the_order_of_their_keys():
    assert [row["hash"] for row in in_turn(texts, ROWS, postgresql.dialect())] == [b"a", b"b", b"\xff"]
    assert in_turn(vectors, [{"key": b"2"}, {"key": b"1"}], postgresql.dialect()) == [{"key": b"1"}, {"key": b"2"}]


def test_what_is_there_already_stays():
    for table in SHARED:
        assert insert_shared(table, sqlite.dialect()).endswith(" ON CONFLICT DO NOTHING")
