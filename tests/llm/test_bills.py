import pytest

from evolve.llm.base import CallFailed, Completion, Failure, Finish, Message, ModelRequest, Role, Usage
from evolve.llm.bills import Bill, Tariff, cancelled, expected_input, failed
from evolve.llm.prices import FREE, Price, upper_bound_tokens
from evolve.llm.specs import ModelSettings

REQUEST = ModelRequest((Message(Role.USER, "x" * 360),), max_tokens=1000)
#: One dollar a token, so that dollars and tokens are the same number.
DOLLAR_A_TOKEN = Price(1e6, 1e6, 1e6)
RESERVED = 5000.0
PLAIN = ModelSettings()


def billed(completion, price=DOLLAR_A_TOKEN, settings=PLAIN):
    return Tariff(settings, price).answered(REQUEST, completion, RESERVED)


def test_an_answer_costs_the_price_of_its_tokens():
    assert billed(Completion("fine", usage=Usage(100, 20, 50, 10))) == Bill("ok", 150.0, Usage(100, 20, 50, 10))


@pytest.mark.parametrize(
    "completion",
    [
        Completion("y" * 36),
        Completion("y" * 36, usage=Usage(0, 0, 0)),
        Completion("y" * 36, usage=Usage(0, 0, 50)),
        Completion("y" * 36, usage=Usage(100, 0, 0)),
        Completion("y" * 36, usage=Usage(100, 0, -1)),
        Completion("y" * 36, Finish.LENGTH, Usage(100)),
    ],
)
def test_what_was_not_counted_or_cannot_have_been_zero_is_presumed_to_have_cost_the_most(completion):
    bill = billed(completion)
    assert (bill.usd, bill.usage, bill.presumed) == (RESERVED, Usage(100, 0, 10), True)


def test_an_answer_cut_off_before_its_first_word_is_not_of_no_tokens():
    assert billed(Completion("", Finish.LENGTH, Usage(100))).presumed


@pytest.mark.parametrize("finish", [Finish.EMPTY, Finish.REFUSED])
def test_an_answer_of_nothing_may_be_of_no_tokens(finish):
    assert billed(Completion("", finish, Usage(100))) == Bill(finish.value, 100.0, Usage(100))


def test_negative_counts_are_taken_as_none():
    assert billed(Completion("y", usage=Usage(100, -1, 1, -1, -1))).usage == Usage(100, 0, 1)


def test_what_is_reported_is_believed_beside_counts_of_zero():
    assert billed(Completion("y", usage=Usage(), cost_usd=0.5))[:2] == ("ok", 0.5)


@pytest.mark.parametrize("reported", [-1.0, float("nan"), float("inf")])
def test_a_report_that_makes_no_sense_is_left_aside(reported):
    assert billed(Completion("y", usage=Usage(100, 0, 50), cost_usd=reported)).usd == 150.0


def test_counts_of_zero_cost_nothing_where_calls_are_free():
    bill = billed(Completion("y" * 36, usage=Usage()), FREE, ModelSettings(price=FREE))
    assert (bill.usd, bill.usage, bill.presumed) == (0.0, Usage(100, 0, 10), False)


@pytest.mark.parametrize(
    ("settings", "price", "most"),
    [
        (ModelSettings(), DOLLAR_A_TOKEN, upper_bound_tokens(REQUEST) + 1000.0),
        (ModelSettings(), None, 0.0),
        (ModelSettings(call_usd=2.0), DOLLAR_A_TOKEN, 2.0),
        (ModelSettings(call_usd=2.0, price=FREE), FREE, 0.0),
    ],
)
def test_the_most_that_a_call_can_cost_is_by_its_price_unless_the_settings_say(settings, price, most):
    assert Tariff(settings, price).most(REQUEST) == most


@pytest.mark.parametrize(("failure", "usd"), [(Failure.CUT_OFF, RESERVED), (Failure.OVERLOADED, 0.0)])
def test_a_failure_costs_what_was_reserved_if_it_may_have_been_charged(failure, usd):
    bill = failed(CallFailed("it broke", failure), RESERVED)
    assert bill == Bill(failure.value, usd, presumed=usd > 0, error="it broke")


def test_a_call_that_nobody_saw_the_end_of_costs_what_was_reserved():
    assert cancelled(KeyError("x"), RESERVED) == Bill("cancelled", RESERVED, presumed=True, error="KeyError: 'x'")


def test_a_prompt_is_expected_to_be_of_some_tokens():
    assert expected_input(REQUEST) == 100
