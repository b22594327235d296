import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from routing_kit import MEANS  # noqa: E402 - it needs torch

from evolve.evaluators.moe.methods import phi, switch  # noqa: E402 - they need torch


def memory_of(mean):
    """One layer's memory with a running mean."""
    return torch.cat([mean[None], torch.zeros(3, mean.shape[-1], dtype=mean.dtype)])[None]


def test_the_loss_of_four_tokens_is_the_one_worked_by_hand():
    mean = torch.tensor([0.4, 0.3, 0.2, 0.1])
    # 0.4 log 1.6 + 0.275 log 1.2 + 0.2 log 0.8 + 0.125 log 0.4 = 0.18800 + 0.05014 - 0.04463 - 0.11454
    assert float(phi.loss(MEANS[None], memory_of(mean))) == pytest.approx(0.07897, abs=1e-5)


def test_the_running_mean_moves_a_tenth_of_the_way():
    mean = torch.tensor([0.4, 0.3, 0.2, 0.1])
    bias, memory = phi.update(MEANS[None], torch.zeros(1, 4), memory_of(mean))
    # 0.9 * mean + 0.1 * (0.4, 0.275, 0.2, 0.125)
    assert memory[0, 0].tolist() == pytest.approx([0.4, 0.2975, 0.2, 0.1025])
    assert not memory[0, 1:].any()
    assert not bias.any()


def test_it_starts_at_balance_and_says_nothing_there():
    memory = torch.tensor(phi.init(4, 2)["memory"])
    assert memory.shape == (2, 4, 4)
    assert float(phi.loss(MEANS.expand(2, 4), memory)) == pytest.approx(0, abs=1e-6)


@settings(deadline=None)  # a shared machine may stall
@given(st.lists(st.integers(1, 1000), min_size=2, max_size=32))
def test_balance_has_the_least_loss_where_the_mean_has_caught_up(raw):
    # With mean = probability the loss is their divergence from balance, which is never negative.
    probability = torch.tensor(raw, dtype=torch.float64) / sum(raw)
    even = torch.full_like(probability, 1 / len(raw))
    assert float(phi.loss(even[None], memory_of(even))) == pytest.approx(0, abs=1e-12)
    assert float(phi.loss(probability[None], memory_of(probability))) >= -1e-12


def test_near_balance_the_gradient_is_that_of_switch():
    mean = torch.tensor([0.255, 0.25, 0.25, 0.245], dtype=torch.float64)
    gradients = []
    for loss in (lambda share: switch.loss(mean[None], share), lambda share: phi.loss(share, memory_of(mean))):
        probability = torch.full((1, 4), 0.25, dtype=torch.float64, requires_grad=True)
        loss(probability).backward()
        # A constant changes nothing, since probabilities sum to one.
        gradients.append(probability.grad - probability.grad.mean())
    # log(1 + x) and x differ by less than x^2, x = 0.02.
    assert torch.allclose(gradients[0], gradients[1], atol=4e-4)


def test_an_expert_whose_probability_vanished_keeps_the_loss_finite():
    gone = torch.tensor([1.0, 0.0])
    assert math.isfinite(float(phi.loss(gone[None], memory_of(gone))))
