import pytest

from evolve.llm.base import Finish
from evolve.llm.faults import Malformed
from evolve.llm.reading import at, charge_at, cost_at, count_at, finished, list_at, mapping_at, text_at, without_thoughts

BODY = {"choices": [{"message": {"content": "4"}}], "usage": {"tokens": 3, "cost": 0.5, "odd": "three"}}


def test_paths_are_followed_and_what_is_missing_is_empty():
    assert at(BODY, "choices", 0, "message", "content") == "4"
    assert at(BODY, "choices", 1, "message") is None
    assert at("text", 0) is None
    assert text_at(BODY, "choices", 0, "message", "refusal") == ""
    assert list_at(BODY, "choices", 0, "parts") == ()
    assert (count_at(BODY, "usage", "tokens"), count_at(BODY, "usage", "odd")) == (3, 0)
    assert (cost_at(BODY, "usage", "cost"), cost_at(BODY, "usage", "odd")) == (0.5, None)


@pytest.mark.parametrize(
    ("usage", "charge"),
    [
        ({"cost": 0.25}, 0.25),
        ({"cost": 0.25, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.25}}, 0.25),
        ({"cost": 0.25, "is_byok": None, "cost_details": {"upstream_inference_cost": None}}, 0.25),
        ({"cost": 0, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}, 0.5),
        ({"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}, 0.75),
        ({"is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}, 0.5),
        ({"cost": 0.25, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ({"cost": 0.25, "is_byok": True}, None),
        ({}, None),
        (None, None),
    ],
)
def test_what_a_provider_charges_to_a_key_of_ones_own_comes_on_top_of_a_routers_fee(usage, charge):
    assert charge_at(usage) == charge


@pytest.mark.parametrize("body", [{}, [], "<html>", None, {"choices": {}}])
def test_what_must_be_there_is_named_when_it_is_not(body):
    with pytest.raises(Malformed, match="no choices/0/message in"):
        mapping_at(body, "choices", 0, "message")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("<think>Two and two.</think>\n\n4", "4"),
        ("\n<think>\nTwo\n\nand two.\n</think>4", "4"),
        ("<think></think>4", "4"),
        ("<think>Two and", ""),
        ("Two and two.\n</think>\n\n4", "4"),
        ("4", "4"),
        ("The tag <think>x</think> stays\n", "The tag <think>x</think> stays\n"),
        ('print("</think>")\n4', 'print("</think>")\n4'),
        ("<think>a</think>\n  indented", "indented"),
    ],
)
def test_thoughts_are_cut_out_before_the_answer(text, left):
    assert without_thoughts(text) == left


def test_blanks_are_no_answer_unless_something_else_ended_it():
    assert finished(" \n", Finish.STOP) is Finish.EMPTY
    assert finished("", Finish.LENGTH) is Finish.LENGTH
    assert finished("", Finish.REFUSED) is Finish.REFUSED
    assert finished("4", Finish.STOP) is Finish.STOP
