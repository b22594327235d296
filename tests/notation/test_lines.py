"""Lines and their ends."""

from __future__ import annotations

import pytest

from evolve.notation.lines import Lines, edited, kept


def replaced(text, first, last, new):
    lines = Lines.of(text)
    return edited(text, lines, [lines.replaced(first, last, new)])


def test_new_lines_end_as_the_first_line_and_the_others_keep_their_own_ends():
    assert replaced("a\r\nb\nc\rd", 1, 2, ["x", "y"]) == "a\r\nx\r\ny\r\nc\rd"


@pytest.mark.parametrize(
    ("first", "last", "new", "wanted"),
    [
        (1, 2, ["x"], "a\nx"),
        (2, 2, ["x"], "a\nb\nx"),
        (0, 1, [], "b"),
        (1, 2, [], "a"),
        (0, 2, [], ""),
        (1, 2, ["x", ""], "a\nx\n\n"),
        (1, 2, ["", "x"], "a\n\nx"),
    ],
)
def test_a_last_line_without_an_end_stays_one_unless_it_is_blank(first, last, new, wanted):
    assert replaced("a\nb", first, last, new) == wanted


def test_an_empty_text_gets_lines_with_ends():
    assert replaced("", 0, 0, ["x", "y"]) == "x\ny\n"


def test_only_line_ends_divide_lines():
    assert Lines.of("a\x0bb\u2028c\x85\n").content == ("a\x0bb\u2028c\x85",)


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("abc", "axc", (1, 1)),
        ("aa", "a", (1, 0)),
        ("a", "aa", (1, 0)),
        ("", "a", (0, 0)),
        ("ab", "ab", (2, 0)),
        ("ab", "cd", (0, 0)),
    ],
)
def test_what_two_texts_share_at_their_ends_counts_once(old, new, wanted):
    assert kept(list(old), list(new)) == wanted
