import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.methods import sigma_schedule  # noqa: E402 - it needs torch


@pytest.mark.parametrize(
    ("layers", "experts", "k", "expected"),
    [
        (56, 96, 1, [8, 8, 6, 6, 4, 4, 2, 2] + [1] * 48),  # the authors' model
        (4, 64, 1, [8, 4, 1, 1]),
        (3, 16, 2, [8, 2, 2]),  # 16 would be all experts: at most half of them
        (2, 8, 6, [6, 6]),  # never fewer than k
        (1, 8, 2, [2]),
    ],
)
def test_the_lowest_layers_take_more_experts_at_first(layers, experts, k, expected):
    assert sigma_schedule.schedule(0, 100, layers, experts, k) == {"k": expected, "coefficient": 0.01}


def test_all_layers_take_the_target_late_in_training():
    before, after = (sigma_schedule.schedule(step, 100, 4, 64, 1)["k"] for step in (89, 90))
    assert (before, after) == ([8, 4, 1, 1], [1, 1, 1, 1])


@settings(deadline=None)  # a shared machine may stall
@given(step=st.integers(0, 99), layers=st.integers(1, 60), experts=st.integers(2, 128), k=st.integers(1, 8))
def test_layers_get_sparser_upwards_and_stay_between_k_and_half_of_the_experts(step, layers, experts, k):
    chosen = sigma_schedule.schedule(step, 100, layers, experts, k)["k"]
    assert len(chosen) == layers
    assert chosen == sorted(chosen, reverse=True)
    assert chosen[-1] == k
    assert all(k <= each <= max(k, experts // 2) for each in chosen)


def test_the_loss_of_four_tokens_weighs_layers_of_unlike_k_alike():
    # Layer 0 takes two experts per token: counts 4, 2, 1, 1 of 8; 4 (0.2 + 0.075 + 0.025 + 0.0125) = 1.25.
    # Layer 1 takes one: each expert once, f is uniform: 1. The mean is 1.125.
    load = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]])
    probability = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.4, 0.3, 0.2, 0.1]])
    assert sigma_schedule.loss(load, probability).item() == pytest.approx(1.125, abs=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_uniform_shares_have_the_least_loss(seed):
    shares = torch.randn((3, 6), generator=torch.Generator().manual_seed(seed)).softmax(-1)
    uniform = torch.full((3, 6), 1 / 6)
    assert sigma_schedule.loss(uniform, uniform).item() == pytest.approx(1, abs=1e-6)
    assert sigma_schedule.loss(shares, shares).item() >= 1 - 1e-6
