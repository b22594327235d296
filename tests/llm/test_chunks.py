import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.llm.chunks import pieces, pooled, text_of, unit


def test_a_single_file_stands_for_itself_and_several_come_with_their_paths():
    assert text_of({"a.py": "x = 1\n"}) == "x = 1\n"
    assert text_of({"b.py": "y\n", "a.py": "x\n"}) == "a.py\nx\n\nb.py\ny\n"


def test_a_blank_source_is_no_blank_text():
    assert text_of({"a.py": " \n"}).startswith("a.py")
    assert text_of({}).strip()


def test_half_a_surrogate_pair_becomes_a_question_mark():
    assert text_of({"a.py": "x = '\ud83e'"}) == "x = '?'"


def test_a_text_that_fits_is_one_piece():
    assert pieces("a\nb\n", 4) == ["a\nb\n"]


def test_pieces_end_with_lines():
    assert pieces("aa\nbb\ncc\ndd\n", 7) == ["aa\nbb\n", "cc\ndd\n"]


def test_a_line_that_is_too_long_is_cut_within():
    assert pieces("x" * 10, 4) == ["xx", "xxx", "xx", "xxx"]


def test_sizes_may_be_other_than_characters():
    assert pieces("a b\nc d\ne f\n", 4, lambda text: len(text.split())) == ["a b\nc d\n", "e f\n"]


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="limit must be >= 1, got 0"):
        pieces("a", 0)


@given(st.text(st.characters(blacklist_categories=["Cs"]), min_size=1), st.integers(1, 20))
def test_nothing_but_blank_pieces_is_left_out_and_none_is_too_long(text, limit):
    cut = pieces(text, limit)
    assert cut
    assert all(len(piece) <= limit for piece in cut)
    assert [c for c in "".join(cut) if not c.isspace()] == [c for c in text if not c.isspace()]


def test_pieces_count_by_their_length():
    mean = pooled([np.array([2.0, 0.0]), np.array([0.0, 5.0])], [3, 1])
    assert mean == pytest.approx(np.array([3.0, 1.0]) / np.sqrt(10))
    assert mean.dtype == np.float32


def test_pieces_that_cancel_out_leave_the_first():
    assert pooled([np.array([1.0, 0.0]), np.array([-1.0, 0.0])], [1, 1]).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("vector", [[0.0, 0.0], [np.inf, 1.0], [np.nan, 1.0]])
def test_what_has_no_direction_is_refused(vector):
    with pytest.raises(ValueError, match="finite and not zero"):
        unit(np.array(vector))
