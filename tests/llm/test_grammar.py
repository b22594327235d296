import json
import re

import pytest

from evolve.llm.grammar import diff_grammar, full_rewrite_grammar


def rules(grammar: str) -> dict[str, str]:
    return dict(re.fullmatch(r"([a-z0-9]+) ::= (.*)", line).groups() for line in grammar.splitlines())


def without_literals(body: str) -> str:
    """A rule's body without texts and character classes, so that only names and operators are left."""
    return re.sub(r"\[(?:\\.|[^\]\\])*\]", " ", re.sub(r'"(?:\\.|[^"\\])*"', " ", body))


def accepts(grammar: str, text: str) -> bool:
    """Whether an answer keeps to a grammar without recursion: as a regular expression, rule by rule."""
    known = rules(grammar)

    def pattern(body: str) -> str:
        parts = re.findall(r'"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]|[a-z][a-z0-9]*|\{\d+,\d+\}|[^\s]', body)
        return "".join(
            re.escape(json.loads(part)) if part[0] == '"' and len(json.loads(part)) == 1
            else f"(?:{re.escape(json.loads(part))})" if part[0] == '"'
            else f"(?:{pattern(known[part])})" if part[0].isalpha()
            else part
            for part in parts
        )  # fmt: skip

    return re.fullmatch(pattern(known["root"]), text) is not None


@pytest.mark.parametrize(
    "grammar",
    [
        full_rewrite_grammar("python"),
        full_rewrite_grammar("python", "def f(x):"),
        full_rewrite_grammar("python", markers=False),
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
    assert known["r0s0"] == r'"    return \"a\\b\"\n" (r0n1)?'
    assert known["r0n1"] == r'"\tend" "\n"'


def test_a_search_text_is_long_enough_to_occur_once():
    known = rules(diff_grammar([["x = 0", "y = 1", "x = 0", "z = 2"]]))
    assert known["r0s0"].startswith('"x = 0\\ny = 1\\n"')
    assert known["r0s2"] == '"x = 0\\nz = 2\\n"'
    assert known["r0s1"].startswith('"y = 1\\n"')


def test_a_search_text_is_short_so_that_nobody_searches_for_the_whole_region():
    lines = [f"line {number}" for number in range(40)]
    grammar = diff_grammar([lines])

    def block(count: int) -> str:
        searched = "".join(f"{line}\n" for line in lines[3 : 3 + count])
        return f"<<<<<<< SEARCH\n{searched}=======\nx\n>>>>>>> REPLACE\n"

    assert all(accepts(grammar, block(count)) for count in range(1, 9))
    assert not accepts(grammar, block(9))
    assert not accepts(grammar, block(0))


def test_a_search_text_is_longer_where_fewer_lines_would_not_be_unique():
    repeated = ["same"] * 12
    grammar = diff_grammar([["first", *repeated, "last"]])
    whole = "".join(f"{line}\n" for line in repeated)
    assert accepts(grammar, f"<<<<<<< SEARCH\n{whole}=======\n>>>>>>> REPLACE\n")


@pytest.mark.parametrize("indentation", ["", "    ", "\t"])
def test_no_replacement_holds_a_marker_of_regions(indentation):
    grammar = diff_grammar([["x = 1"]])

    def block(line: str) -> str:
        return f"<<<<<<< SEARCH\nx = 1\n=======\n{indentation}{line}\n>>>>>>> REPLACE\n"

    assert all(accepts(grammar, block(line)) for line in ("y = 2", "# because", "// it", "#!x", "/", "a / b", "", "# e", "//"))
    assert not any(accepts(grammar, block(line)) for line in ("# EVOLVE-BLOCK-END", "// EVOLVE-BLOCK-START", "#EVOLVE-BLOCK-END"))


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


@pytest.mark.parametrize("body", ["x = 1", "x = 1\n\n# because\ny = 2", "#!x\n#\n/\n//\n// it\n    # so", "`a`\n``b``\n``"])
@pytest.mark.parametrize("markers", [True, False])
def test_one_fenced_block_is_accepted_with_or_without_a_sentence(body, markers):
    grammar = full_rewrite_grammar("python", markers=markers)
    assert accepts(grammar, f"```python\n{body}\n```")
    assert accepts(grammar, f"I change it.\n```python\n{body}\n```\n")
    assert not accepts(grammar, body)
    assert not accepts(grammar, f"```python\n{body}\n```\nand more")


@pytest.mark.parametrize("line", ["# EVOLVE-BLOCK-START", "    # EVOLVE-BLOCK-END", "// EVOLVE-BLOCK-START", "#EVOLVE-BLOCK-START"])
def test_markers_can_be_written_where_a_whole_file_is_asked_for_and_not_within_a_region(line):
    answer = f"```python\nx = 1\n{line}\ny = 2\n```"
    assert accepts(full_rewrite_grammar("python"), answer)
    assert not accepts(full_rewrite_grammar("python", markers=False), answer)


def test_the_block_begins_with_the_line_that_it_is_told():
    grammar = full_rewrite_grammar("python", "def f(x):", markers=False)
    assert accepts(grammar, "```python\ndef f(x):\n    return x\n```")
    assert not accepts(grammar, "```python\nimport numpy\ndef f(x):\n    return x\n```")
