import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.methods import shiftadd_latency  # noqa: E402 - it needs torch


def normal_cdf(x):
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def certain(counts):
    """Logits ``(1, T, E)`` of tokens that are sure of their expert, so many for each."""
    choices = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return 60.0 * torch.eye(len(counts))[choices].unsqueeze(0)


def test_noise_has_a_spread_of_one_over_experts():
    assert shiftadd_latency.schedule(8) == {"noise": 0.125, "coefficient": 0.01}


def test_training_routes_by_shaken_logits():
    logits, noise = torch.tensor([[1.0, 0.9]]), torch.tensor([[-0.2, 0.2]])
    selection, gates = shiftadd_latency.score(logits, noise)
    assert selection.argmax() == 1
    torch.testing.assert_close(gates, (logits + noise).softmax(-1))
    assert torch.equal(shiftadd_latency.score(logits, torch.zeros(1, 2))[1], logits.softmax(-1))


def test_the_loss_of_four_tokens():
    # The first token prefers expert 0, the slow one, by log 3, the others expert 1: p = (3/4, 1/4) or (1/4, 3/4).
    logits = torch.tensor([[[math.log(3), 0.0], [0.0, math.log(3)], [0.0, math.log(3)], [0.0, math.log(3)]]])
    # Latency shares 2/3 and 1/3. Importance (2/3 3/8, 1/3 5/8) = (6, 5)/24. Of two numbers Var / Mean^2 = 2 ((x-y)/(x+y))^2.
    importance = 2 * (1 / 11) ** 2
    # s = 1/2: the preferred one stays in with c = cdf(2 log 3), the other gets in with 1 - c; means (3-2c)/4 and (1+2c)/4.
    c = normal_cdf(2 * math.log(3))
    x, y = 2 * (3 - 2 * c), 1 + 2 * c
    load = 2 * ((x - y) / (x + y)) ** 2
    found = shiftadd_latency.loss(logits, torch.tensor([1.0, 0.5]), torch.tensor([1]))
    assert found.item() == pytest.approx(importance + load, abs=1e-6)


@settings(deadline=None)  # a shared machine may stall
@given(seed=st.integers(0, 2**31), ks=st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_the_chance_is_that_of_a_shaken_logit_against_the_others_k_th_largest(seed, ks):
    logits = torch.randn((2, 3, 5), generator=torch.Generator().manual_seed(seed))
    found = shiftadd_latency.chance_of_top_k(logits, torch.tensor(ks))
    for layer, k in enumerate(ks):
        for token in range(3):
            row = logits[layer, token].tolist()
            for expert, value in enumerate(row):
                rival = sorted(row[:expert] + row[expert + 1 :], reverse=True)[k - 1]
                assert found[layer, token, expert].item() == pytest.approx(normal_cdf((value - rival) * 5), abs=1e-5)


@settings(deadline=None, max_examples=30)
@given(times=st.lists(st.sampled_from([1, 2, 4]), min_size=2, max_size=5), data=st.data())
def test_tokens_in_proportion_to_speed_have_the_least_loss(times, data):
    widths = torch.tensor([1 / each for each in times])
    k = torch.tensor([1])
    assert shiftadd_latency.loss(certain(times), widths, k).item() == pytest.approx(0, abs=1e-6)
    busier = data.draw(st.integers(0, len(times) - 1))
    uneven = [each + (expert == busier) for expert, each in enumerate(times)]
    assert shiftadd_latency.loss(certain(uneven), widths, k).item() > 1e-3


def test_even_tokens_are_not_best_where_experts_are_unequal():
    widths, k = torch.tensor([1.0, 0.5]), torch.tensor([1])
    assert shiftadd_latency.loss(certain([3, 3]), widths, k) > shiftadd_latency.loss(certain([2, 4]), widths, k)


def test_uniform_logits_have_the_least_loss_where_experts_are_equal():
    assert shiftadd_latency.loss(torch.zeros(2, 4, 5), torch.ones(5), torch.tensor([1, 2])).item() == pytest.approx(0, abs=1e-6)


def test_the_smooth_load_has_a_gradient_towards_the_neglected_expert():
    logits = torch.tensor([[[0.1, 0.0], [0.1, 0.0]]]).requires_grad_()
    shiftadd_latency.loss(logits, torch.ones(2), torch.tensor([1])).backward()
    assert (logits.grad[..., 0] > 0).all()
    assert (logits.grad[..., 1] < 0).all()


def test_gradients_are_finite_where_probabilities_vanish():
    logits = certain([3, 1, 2]).requires_grad_()
    shiftadd_latency.loss(logits, torch.ones(3), torch.tensor([1])).backward()
    assert logits.grad.isfinite().all()
