import pytest

from evolve.llm.estimate import ArmForecast, estimate, warning
from evolve.llm.prices import FREE, Price

CHEAP, DEAR = Price(1.0, 0.1, 4.0), Price(10.0, 1.0, 40.0)
#: 1000 tokens asked and 500 answered: 0.003 dollars at CHEAP, 0.03 at DEAR.
TOKENS = {"prompt_tokens": 1000, "answer_tokens": 500}


def test_low_typical_and_worst_are_worked_out_by_arm():
    arms = [ArmForecast("a", CHEAP, 3.0, 1000), ArmForecast("b", DEAR, 1.0, 1000)]
    found = estimate(arms, 100, **TOKENS, attempts=2)
    assert found.low == pytest.approx(100 * 0.003)
    assert found.typical == pytest.approx(100 * (0.75 * 0.003 + 0.25 * 0.03))
    # 4000 tokens asked at most and 1000 answered: 0.08 dollars.
    assert (found.worst_call, found.worst) == (pytest.approx(0.08), pytest.approx(100 * 2 * 0.08))
    assert (found.calls, found.typical_call, found.unknown) == (100, pytest.approx(found.typical / 100), ())


def test_arms_that_ask_no_model_make_no_calls():
    found = estimate([ArmForecast("local", FREE, 1.0), ArmForecast("a", CHEAP, 1.0)], 100, **TOKENS)
    assert (found.low, found.calls, found.typical_call) == (0.0, 50, pytest.approx(0.003))


def test_a_run_of_free_arms_costs_nothing_and_is_warned_of_nothing():
    found = estimate([ArmForecast("local", FREE)], 100, **TOKENS)
    assert (found.low, found.typical, found.worst, found.calls, found.typical_call) == (0, 0, 0, 0, 0)
    assert warning(found, 0.0) is None


def test_arms_of_unknown_price_are_named():
    assert estimate([ArmForecast("a", None), ArmForecast("b", CHEAP)], 1, **TOKENS).unknown == ("a",)


def test_no_answer_is_longer_than_its_arm_allows():
    assert estimate([ArmForecast("a", CHEAP, max_tokens=100)], 1, **TOKENS).typical == pytest.approx(0.0014)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (0.007, "does not cover one call, for which up to $0.008 is reserved"),
        (0.0085, "pays for about 2 typical calls of $0.003"),
        (0.029, "pays for about 9 typical calls of $0.003"),
        (0.031, None),
    ],
)
def test_a_budget_too_small_to_mean_anything_is_said_to_be(budget, message):
    found = warning(estimate([ArmForecast("a", CHEAP, max_tokens=1000)], 100, **TOKENS), budget)
    assert found is None if message is None else message in found


@pytest.mark.parametrize(("arms", "steps"), [([], 1), ([ArmForecast("a", CHEAP, 0.0)], 1), ([ArmForecast("a", CHEAP)], -1)])
def test_what_cannot_be_estimated_is_refused(arms, steps):
    with pytest.raises(ValueError, match=r"must be >= 0|needs a share"):
        estimate(arms, steps, **TOKENS)


def test_a_share_below_zero_is_refused():
    with pytest.raises(ValueError, match="arm a: share"):
        ArmForecast("a", CHEAP, -1.0)


def test_what_somebody_says_a_call_may_cost_stands_in_for_its_price():
    agent = ArmForecast("agent", None, call_usd=0.5)
    found = estimate([agent], 10, **TOKENS)
    assert (found.typical, found.worst_call, found.unknown) == (5.0, 0.5, ())
    assert "reserved: no model will be asked; allow more dollars, or set a lower max_tokens or call_usd" in warning(found, 0.4)
    assert estimate([ArmForecast("a", CHEAP, call_usd=0.5)], 1, **TOKENS).typical == pytest.approx(0.003)
    assert estimate([ArmForecast("subscription", FREE, call_usd=0.5)], 1, **TOKENS).worst_call == 0.0
