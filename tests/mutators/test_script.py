"""Edit scripts: how the local mutators write their changes down."""

from __future__ import annotations

import json

import pytest
from mutation_kit import scored

from evolve.edits import Span
from evolve.mutation import MutationFailed
from evolve.mutators.script import Change, apply_reply, first_sound, reply_to
from evolve.program import Program, Reply

MARKED = "a = 1\n# EVOLVE-BLOCK-START\nb = 2\n# EVOLVE-BLOCK-END\n"


def test_a_reply_is_compact_json_with_the_sentence_first():
    reply = reply_to(Change("Grüße.", {"a.py": [Span(0, 1, "é")]}, {"s": 1.0}, ("p",)))
    assert reply.text == '{"note":"Grüße.","edits":[["a.py",0,1,"é"]]}'
    assert (reply.strategy, reply.parents) == ({"s": 1.0}, ("p",))


def test_a_reply_is_applied_to_the_files_it_names():
    parent = Program.make(0, {"a.py": "x = 1\n", "b.py": "y = 2\n"})
    reply = Reply(json.dumps({"note": "", "edits": [["b.py", 4, 5, "3"], ["b.py", 0, 1, "z"]]}))
    assert apply_reply(reply, parent) == {"a.py": "x = 1\n", "b.py": "z = 3\n"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no json", "not an edit script"),
        ("[]", "not an edit script"),
        ('{"edits": [["a.py", 0]]}', "not an edit script"),
        ('{"edits": [["a.py", "0", 1, ""]]}', "not an edit script"),
        ('{"edits": [["a.py", 4, 5, "9"]]}', "outside what may change"),
        ('{"edits": [["c.py", 0, 0, "9"]]}', "outside what may change"),
        ('{"edits": [["a.py", 29, 31, ""], ["a.py", 30, 32, ""]]}', "overlaps"),
    ],
)
def test_a_reply_that_cannot_be_applied_says_why(text, message):
    with pytest.raises(MutationFailed, match=message):
        apply_reply(Reply(text), scored(MARKED).program)


@pytest.mark.parametrize(
    "span",
    [
        Span(4, 5, "9"),  # fixed text
        Span(27, 27, ""),  # no change
        Span(27, 28, "b ="),  # does not parse
        Span(27, 27, "return\n"),  # parses, but no function is around it
        Span(27, 27, "# EVOLVE-BLOCK-END\n"),  # a marker
    ],
)
def test_unsound_proposals_are_passed_over(span):
    parent = scored(MARKED).program
    with pytest.raises(MutationFailed, match="in 3 attempts"):
        first_sound(parent, 3, lambda: Change("", {"a.py": [span]}))
    sound = Change("", {"a.py": [Span(27, 27, "c = 3\n")]})
    proposals = iter([None, Change("", {"a.py": [span]}), sound])
    assert first_sound(parent, 3, lambda: next(proposals)) is sound
