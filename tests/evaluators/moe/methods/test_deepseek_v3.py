import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from routing_kit import PROBABILITIES, counts_of, seeded, top_k  # noqa: E402 - it needs torch

from evolve.evaluators.moe.methods import deepseek_v3  # noqa: E402 - it needs torch


def test_groups_of_four_tokens_are_the_ones_worked_by_hand(monkeypatch):
    monkeypatch.setattr(deepseek_v3, "GROUPS", 2)
    monkeypatch.setattr(deepseek_v3, "LIMIT", 1)
    selection = torch.tensor(
        [
            [0.9, 0.1, 0.6, 0.5],  # 1.0 against 1.1: the best expert is in the other group
            [0.9, 0.3, 0.6, 0.5],  # 1.2 against 1.1
            [-0.9, -0.3, -0.6, -0.5],  # biases may make all negative: -1.2 against -1.1
            [0.2, 0.2, 0.1, 0.2],  # 0.4 against 0.3
        ]
    )
    chosen = deepseek_v3.select(selection, torch.tensor(2))
    assert chosen.int().tolist() == [[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 0, 0]]


def test_weights_of_the_chosen_sum_to_the_scale():
    gates = torch.tensor([[0.6, 0.9, 0.2, 0.5]])
    mask = torch.tensor([[True, False, True, False]])
    # 2.5 * 0.6 / 0.8 and 2.5 * 0.2 / 0.8
    assert deepseek_v3.gate(gates, mask, torch.tensor(2)).tolist() == [pytest.approx([1.875, 0, 0.625, 0])]


def test_a_single_expert_keeps_the_gate_that_the_router_learns_by():
    gates, mask = torch.tensor([[0.6, 0.9]]), torch.tensor([[False, True]])
    assert deepseek_v3.gate(gates, mask, torch.tensor(1)).tolist() == [pytest.approx([0, 2.25])]


def test_the_loss_of_two_sequences_of_two_tokens_is_the_one_worked_by_hand():
    load = counts_of(top_k(PROBABILITIES, 1).unflatten(0, (2, 2))) / 2
    probability = PROBABILITIES.unflatten(0, (2, 2)).mean(1)
    # Load (1, 0, 0, 0) of probability 0.4; load (0.5, 0.5, 0, 0) of (0.4, 0.35): 0.375. 4 * (0.4 + 0.375) / 2.
    assert float(deepseek_v3.loss(load[None], probability[None])) == pytest.approx(1.55)


def test_even_sequences_have_the_loss_one():
    even = torch.full((2, 3, 8), 1 / 8)
    assert float(deepseek_v3.loss(even, even)) == pytest.approx(1)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.01), (289, 0.01), (290, 0.0), (299, 0.0)])
def test_biases_rest_in_the_last_part_of_the_training(step, expected):
    # 0.5 / 14.8 of 300 steps are 10.1: steps 290 to 299.
    counts = torch.tensor([[3.0, 1.0, 0.0, 0.0]])
    bias, _ = deepseek_v3.update(counts, torch.zeros(1, 4), torch.zeros(1, 4, 4), torch.tensor(step), torch.tensor(300))
    assert bias.tolist() == [pytest.approx([-expected, 0, expected, expected])]


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 2**31), st.sampled_from([8, 16, 64]), st.integers(1, 4))
def test_up_to_the_limit_of_groups_the_best_experts_are_chosen(seed, experts, k):
    selection = torch.randn(16, experts, generator=seeded(seed))
    best = top_k(selection, k)
    assert torch.equal(deepseek_v3.select(selection, torch.tensor(k)), best)
    assert torch.equal(top_k(deepseek_v3._within_best_groups(selection, 1), k), best)


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 2**31), st.sampled_from([(16, 8), (64, 8), (64, 6)]))
def test_beyond_it_a_token_has_k_experts_in_no_more_groups(seed, size):
    experts, k = size
    mask = deepseek_v3.select(torch.randn(16, experts, generator=seeded(seed)), torch.tensor(k))
    assert mask.sum(-1).tolist() == [k] * 16
    assert int(mask.unflatten(-1, (8, -1)).any(-1).sum(-1).max()) <= 4


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 2**31), st.floats(-10, 10))
def test_the_bias_is_in_the_choice_and_never_in_the_weights(seed, size):
    logits, bias = torch.randn(16, 8, generator=seeded(seed)), size * torch.linspace(-1, 1, 8)
    selection, gates = deepseek_v3.score(logits, bias)
    assert torch.equal(selection, gates + bias)
    weights = deepseek_v3.gate(gates, deepseek_v3.select(selection, torch.tensor(2)), torch.tensor(2))
    assert torch.allclose(weights.sum(-1), torch.tensor(2.5))
