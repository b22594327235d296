import re

import pytest

from evolve.llm.grammar import diff_grammar, full_rewrite_grammar


def rules(grammar: str) -> dict[str, str]:
    return dict(re.fullmatch(r"([a-z0-9]+) ::= (.*)", line).groups() for line in grammar.splitlines())


def without_literals(body: str) -> str:
    """A rule's body without texts and character classes, so that only names and operators are left."""
    return re.sub(r"\[(?:\\.|[^\]\\])*\]", " ", re.sub(r'"(?:\\.|[^"\\])*"', " ", body))


@pytest.mark.parametrize(
    "grammar",
    [
        full_rewrite_grammar("python"),
        full_rewrite_grammar("python", "def f(x):"),
        diff_grammar([["a = 1", "", 'b = "x\\n"'], ["c", "c", "d"]]),
    ],
)
def test_every_name_in_a_rule_has_a_rule_and_every_rule_is_reached(grammar):
    known = rules(grammar)
    seen, waiting = set(), ["root"]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += re.findall(r"[a-z][a-z0-9]*", without_literals(known[name]))
    unreached = set(known) - seen
    # Continuations of lines that only begin runs are there for none to follow.
    assert {name for name in unreached if not re.fullmatch(r"r\d+n\d+", name)} == set()


def test_search_texts_are_lines_of_the_parent_as_they_stand():
    known = rules(diff_grammar([['    return "a\\b"', "\tend"]]))
    assert known["search"] == "r0s0 | r0s1"
    assert known["r0s0"] == r'"    return \"a\\b\"\n" r0n1?'
    assert known["r0n1"] == r'"\tend" "\n"'


def test_a_search_text_is_long_enough_to_occur_once():
    known = rules(diff_grammar([["x = 0", "y = 1", "x = 0", "z = 2"]]))
    assert known["r0s0"].startswith('"x = 0\\ny = 1\\n"')
    assert known["r0s2"] == '"x = 0\\nz = 2\\n"'
    assert known["r0s1"].startswith('"y = 1\\n"')


def test_regions_are_not_searched_across():
    known = rules(diff_grammar([["a"], ["b"]]))
    assert known["search"] == "r0s0 | r1s0"
    assert known["r0s0"] == '"a\\n"'


def test_no_search_begins_with_a_blank_line():
    assert rules(diff_grammar([["", "a", "   ", "b"]]))["search"] == "r0s1 | r0s3"


def test_a_parent_of_repeated_or_blank_lines_cannot_be_searched():
    with pytest.raises(ValueError, match="no line of the parent can be searched for"):
        diff_grammar([["", "  "], ["pass"], ["pass"]])


def test_control_characters_are_written_by_their_code():
    assert rules(diff_grammar([["a\x0cb"]]))["r0s0"] == '"a\\x0Cb\\n"'


def test_a_language_of_several_words_is_refused():
    with pytest.raises(ValueError, match="language must be one word, got 'a b'"):
        full_rewrite_grammar("a b")
