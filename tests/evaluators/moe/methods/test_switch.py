import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from routing_kit import LOAD, MEANS, PROBABILITIES, counts_of, seeded, top_k  # noqa: E402 - it needs torch

from evolve.evaluators.moe.methods import switch  # noqa: E402 - it needs torch


def shares(raw):
    return torch.tensor(raw, dtype=torch.float64) / sum(raw)


def test_the_loss_of_four_tokens_is_the_one_worked_by_hand():
    load = counts_of(top_k(PROBABILITIES, 1)) / 4
    assert torch.equal(load, LOAD)
    # 4 * (0.75 * 0.4 + 0.25 * 0.275) = 1.2 + 0.275
    assert float(switch.loss(load[None], PROBABILITIES.mean(0)[None])) == pytest.approx(1.475)


def test_layers_are_averaged():
    even = torch.full((4,), 0.25)
    # The mean of 1.475 (above) and 1 (even).
    assert float(switch.loss(torch.stack([LOAD, even]), torch.stack([MEANS, even]))) == pytest.approx(1.2375)


def test_the_load_pushes_and_the_probability_gives_way():
    probability = MEANS[None].clone().requires_grad_()
    switch.loss(LOAD[None], probability).backward()
    assert torch.equal(probability.grad, 4 * LOAD[None])


@settings(deadline=None)  # a shared machine may stall
@given(st.lists(st.integers(1, 1000), min_size=2, max_size=32))
def test_balance_has_the_least_loss_among_loads_that_follow_the_probabilities(raw):
    # E * sum(p^2) >= 1 by Cauchy and Schwarz, with equality where all are the same.
    share = shares(raw)
    even = torch.full_like(share, 1 / len(raw))
    least = float(switch.loss(even[None], even[None]))
    assert least == pytest.approx(1)
    assert float(switch.loss(share[None], share[None])) >= least - 1e-12


@settings(deadline=None)  # a shared machine may stall
@given(st.lists(st.integers(1, 1000), min_size=2, max_size=32))
def test_even_probabilities_satisfy_the_loss_whatever_the_load(raw):
    load = shares(raw)
    assert float(switch.loss(load[None], torch.full_like(load, 1 / len(raw))[None])) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [1, 2])
def test_small_logits_satisfy_the_loss_and_move_no_token(seed, k):
    # In double precision, so that scaling makes no ties.
    logits = torch.randn(256, 8, generator=seeded(seed), dtype=torch.float64) + torch.linspace(-1, 1, 8, dtype=torch.float64)
    losses, counts = [], []
    for scale in (1.0, 0.01):
        probabilities = (scale * logits).softmax(-1)
        counts.append(counts_of(top_k(probabilities, k)))
        losses.append(float(switch.loss(counts[-1][None] / (256 * k), probabilities.mean(0)[None])))
    assert torch.equal(counts[0], counts[1])
    assert losses[0] > 1.2
    # Each probability is within a factor of exp(+-2 * scale * largest logit) of 1 / E, and so is their mean.
    bound = 2 * 0.01 * float(logits.abs().max())
    assert math.exp(-bound) <= losses[1] <= math.exp(bound)


def test_no_token_is_dropped_by_default():
    assert switch.schedule() == {"coefficient": 0.01, "capacity": 0.0}
