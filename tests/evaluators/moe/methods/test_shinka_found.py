import ast
import inspect

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.methods import (  # noqa: E402 - they need torch
    shinka_found_literal,
    shinka_found_literal_064,
    shinka_found_ste,
    shinka_found_ste_064,
)

LITERAL = (shinka_found_literal, shinka_found_literal_064)
STRAIGHT = (shinka_found_ste, shinka_found_ste_064)
PAIRS = list(zip(LITERAL, STRAIGHT, strict=True))

#: Four tokens of one expert each; expert 3 gets none.
LOAD = torch.tensor([[2, 1, 1, 0]]) / 4
PROBABILITY = torch.tensor([[1 / 2, 1 / 4, 1 / 8, 1 / 8]])


def gradient(method, load, probability):
    probability = probability.clone().requires_grad_()
    method.loss(load, probability).backward()
    return probability.grad


def switch_gradient(load, probability):
    probability = probability.clone().requires_grad_()
    (load.shape[-1] * (load * probability).sum(-1)).mean().backward()
    return probability.grad


def shares(seed, layers=3, experts=6):
    return torch.randn((layers, experts), generator=torch.Generator().manual_seed(seed)).softmax(-1)


@pytest.mark.parametrize(
    ("method", "expected"),
    # Switch: 4 (1/4 + 1/16 + 1/32) = 1.375. H = 1.75 log 2 of log 4, s = 0.5 + (1 - 0.875) = 0.625. Expert 3 lacks FLOOR/4:
    # 0.1 0.625 0.016 = 0.001, or ten times that.
    [
        (shinka_found_literal, 1.376),
        (shinka_found_ste, 1.376),
        (shinka_found_literal_064, 1.385),
        (shinka_found_ste_064, 1.385),
    ],
)
def test_the_loss_of_four_tokens(method, expected):
    assert method.loss(LOAD, PROBABILITY).item() == pytest.approx(expected, abs=1e-6)


def test_the_loss_is_the_mean_over_the_layers():
    load, probability = torch.cat([LOAD, torch.full((1, 4), 0.25)]), PROBABILITY.expand(2, 4)
    assert shinka_found_literal.loss(load, probability).item() == pytest.approx((1.376 + 1) / 2, abs=1e-6)


@pytest.mark.parametrize(("literal", "straight"), PAIRS)
def test_only_the_straight_through_form_pulls_the_starved_expert_up(literal, straight):
    apart = gradient(straight, LOAD, PROBABILITY) - gradient(literal, LOAD, PROBABILITY)
    # Minus HINGE s(P) at expert 3, nothing elsewhere.
    torch.testing.assert_close(apart, torch.tensor([[0.0, 0.0, 0.0, -0.0625]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("method", LITERAL)
def test_the_literal_penalty_treats_experts_of_equal_probability_alike(method):
    # Experts 2 and 3 have the same probability; only 3 is starved.
    penalty = gradient(method, LOAD, PROBABILITY) - switch_gradient(LOAD, PROBABILITY)
    assert penalty[0, 2].item() == pytest.approx(penalty[0, 3].item(), abs=1e-6)
    assert penalty[0, 3].item() != 0


@settings(deadline=None)  # a shared machine may stall
@given(seed=st.integers(0, 2**31), pair=st.sampled_from(PAIRS))
def test_both_forms_have_the_same_value(seed, pair):
    load, probability = shares(seed), shares(seed + 1)
    values = [method.loss(load, probability).item() for method in pair]
    assert values[0] == pytest.approx(values[1], abs=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), method=st.sampled_from(LITERAL + STRAIGHT))
def test_where_no_expert_is_starved_the_loss_is_that_of_switch(seed, method):
    load, probability = 0.7 / 6 + 0.3 * shares(seed), shares(seed + 1)
    assert method.loss(load, probability).item() == (6 * (load * probability).sum(-1)).mean().item()
    torch.testing.assert_close(gradient(method, load, probability), switch_gradient(load, probability), atol=1e-7, rtol=0)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), method=st.sampled_from(LITERAL + STRAIGHT))
def test_uniform_shares_have_the_least_loss(seed, method):
    followed, uniform = shares(seed), torch.full((3, 6), 1 / 6)
    assert method.loss(uniform, uniform).item() == pytest.approx(1, abs=1e-6)
    assert method.loss(followed, followed).item() >= 1 - 1e-6


@pytest.mark.parametrize("forms", [LITERAL, STRAIGHT], ids=["literal", "straight"])
def test_the_floor_is_all_that_two_files_of_one_form_differ_in(forms):
    small, large = (ast.parse(inspect.getsource(method)) for method in forms)
    assert [method.FLOOR for method in forms] == [0.064, 0.64]
    apart = [ast.unparse(one) for one, other in zip(small.body, large.body, strict=True) if ast.dump(one) != ast.dump(other)]
    assert [line.split()[0] for line in apart[1:]] == ["FLOOR"]  # after the docstring


@pytest.mark.parametrize("method", LITERAL + STRAIGHT)
def test_gradients_are_finite_where_probabilities_vanish(method):
    assert gradient(method, torch.eye(4), torch.eye(4)).isfinite().all()
