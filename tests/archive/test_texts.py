import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import create_engine, insert

from evolve.archive.tables import metadata, texts
from evolve.archive.texts import HASH_BYTES, Dictionary, Packer, TextReader, encode, pack, pack_vector, text_hash, unpack_vector

SOURCE = "".join(f"value_{k} = compute({k})\n" for k in range(200))


@pytest.fixture
def connection():
    engine = create_engine("sqlite://")
    metadata.create_all(engine, tables=[texts])
    with engine.connect() as connected:
        yield connected
    engine.dispose()


def test_a_text_that_resembles_its_dictionary_takes_a_fraction_of_its_room():
    changed = SOURCE.replace("compute(7)", "compute(7.25)")
    alone, against = pack(changed), pack(changed, Dictionary.of(SOURCE))
    assert len(against.body) < len(alone.body) / 5
    assert against.dictionary == text_hash(encode(SOURCE))


def test_a_short_text_stays_plain():
    packed = pack("too small")
    assert packed == (text_hash(b"too small"), None, False, b"too small")


def test_a_text_that_does_not_shrink_stays_plain():
    # Sixty characters that each occur once: nothing for deflate to find.
    text = "".join(chr(33 + k) for k in range(60))
    packed = pack(text)
    assert (packed.compressed, packed.body) == (False, text.encode())


def test_a_dictionary_is_not_packed_against_itself():
    assert pack(SOURCE, Dictionary.of(SOURCE)).dictionary is None


def test_hashes_are_sixteen_bytes():
    assert len(pack("x").hash) == HASH_BYTES == 16


@given(st.lists(st.text(max_size=300), max_size=6), st.text(max_size=300))
def test_texts_come_back_as_they_were(contents, base):
    engine = create_engine("sqlite://")
    metadata.create_all(engine, tables=[texts])
    rows = {packed.hash: packed for packed in [pack(base), *(pack(text * 3, Dictionary.of(base)) for text in contents)]}
    with engine.connect() as connected:
        connected.execute(insert(texts), [packed._asdict() for packed in rows.values()])
        read = TextReader().read(connected, list(rows))
    engine.dispose()
    assert set(read.values()) == {base, "", *(text * 3 for text in contents)}


def test_lone_surrogates_survive(connection):
    text = "printed \udcff\ud800 by a program" * 3
    packed = pack(text)
    connection.execute(insert(texts), [packed._asdict()])
    assert TextReader().read(connection, [packed.hash])[packed.hash] == text


def test_no_text_reads_as_empty(connection):
    assert TextReader().read(connection, [None]) == {None: ""}


def test_more_texts_are_read_than_one_statement_may_name(connection):
    packed = [pack(f"text number {k}") for k in range(1200)]
    connection.execute(insert(texts), [item._asdict() for item in packed])
    read = TextReader().read(connection, [item.hash for item in packed])
    assert [read[item.hash] for item in packed] == [f"text number {k}" for k in range(1200)]


def test_dictionaries_beyond_those_remembered_are_read_again(connection):
    reader = TextReader(remembered=1)
    bases = [SOURCE + f"# {k}\n" for k in range(3)]
    packed = [pack(base + "x = 1\n", Dictionary.of(base)) for base in bases]
    connection.execute(insert(texts), [item._asdict() for item in [*map(pack, bases), *packed]])
    for _ in range(2):
        for base, item in zip(bases, packed, strict=True):
            assert reader.read(connection, [item.hash])[item.hash] == base + "x = 1\n"


def test_the_first_text_of_a_kind_is_the_dictionary_of_the_next():
    packer = Packer()
    first, second = packer.pack(SOURCE, "source a"), packer.pack(SOURCE + "x = 1\n", "source a")
    assert first.dictionary is None
    assert second.dictionary == first.hash


def test_kinds_have_dictionaries_of_their_own():
    packer = Packer()
    packer.pack(SOURCE, "source a")
    assert packer.pack(SOURCE + "x = 1\n", "source b").dictionary is None


def test_a_dictionary_is_renewed_after_thirty_two_texts():
    packer = Packer()
    against = [packer.pack(SOURCE + f"x = {k}\n", "prompt").dictionary for k in range(66)]
    assert [k for k, dictionary in enumerate(against) if dictionary is None] == [0, 32, 64]


def test_a_text_like_a_kind_never_becomes_its_dictionary():
    packer = Packer()
    packer.pack_like(SOURCE, "prompt")
    assert packer.pack(SOURCE + "x = 1\n", "prompt").dictionary is None


def test_embeddings_come_back_in_half_precision():
    vector = np.array([0.5, -0.25, 0.1, 0.0], dtype=np.float32)
    back = unpack_vector(pack_vector(vector))
    assert back.dtype == np.float32
    # 0.1 lies between 2**-4 and 2**-3, where half precision steps by 2**-14.
    np.testing.assert_allclose(back, vector, rtol=0, atol=2**-15)


def test_a_text_that_comes_back_is_read_even_where_it_became_a_dictionary(connection):
    """As of a program of several files, most of which a child leaves as they were; or of a run that starts from another's best."""
    relative, child = SOURCE + "x = 1\n", SOURCE + "x = 1\ny = 2\n"
    rows = [pack(SOURCE), pack(relative, Dictionary.of(SOURCE)), pack(child, Dictionary.of(relative))]
    connection.execute(insert(texts), [row._asdict() for row in rows])
    assert TextReader(remembered=1).read(connection, [rows[2].hash])[rows[2].hash] == child


def test_a_text_that_was_stored_against_another_does_not_become_a_dictionary():
    packer = Packer()
    packer.pack(SOURCE, "source a")
    repeated = packer.pack(SOURCE + "x = 1\n", "source a")
    for _ in range(40):
        assert packer.pack(SOURCE + "x = 1\n", "source a") == repeated
    assert packer.pack(SOURCE + "x = 2\n", "source a").dictionary is None
