import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from routing_kit import PROBABILITIES, counts_of, seeded, top_k  # noqa: E402 - it needs torch

from evolve.evaluators.moe.methods import loss_free  # noqa: E402 - it needs torch

MEMORY = torch.zeros(1, 4, 4)
a_row_of_counts = st.lists(st.integers(0, 100), min_size=4, max_size=4).filter(any)


def spread(bias):
    return float(bias.max() - bias.min())


def test_one_step_on_four_tokens_is_the_one_worked_by_hand():
    counts = counts_of(top_k(PROBABILITIES, 1))
    assert counts.tolist() == [3, 1, 0, 0]
    bias, _ = loss_free.update(counts[None], torch.zeros(1, 4), MEMORY)
    # The mean is 1: expert 0 has too many, expert 1 its share, the others lack one.
    assert bias.tolist() == [pytest.approx([-0.01, 0, 0.01, 0.01])]


@settings(deadline=None)  # a shared machine may stall
@given(a_row_of_counts)
def test_the_bias_moves_one_step_against_the_imbalance(row):
    counts = torch.tensor([row], dtype=torch.float32)
    before = torch.linspace(-0.5, 0.5, 4)[None]
    moved = loss_free.update(counts, before, MEMORY)[0] - before
    # Whole numbers, so that nothing is rounded: 4 * mean = sum.
    direction = [(sum(row) > 4 * count) - (sum(row) < 4 * count) for count in row]
    assert moved[0].tolist() == pytest.approx([0.01 * sign for sign in direction], abs=1e-7)


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 2**31), st.floats(-10, 10))
def test_the_bias_is_in_the_choice_and_never_in_the_weights(seed, size):
    logits = torch.randn(16, 8, generator=seeded(seed))
    bias = size * torch.randn(8, generator=seeded(seed + 1))
    selection, gates = loss_free.score(logits, bias)
    assert torch.equal(gates, logits.sigmoid())
    assert torch.equal(selection, gates + bias)


@settings(deadline=None)  # a shared machine may stall
@given(st.lists(a_row_of_counts, max_size=49))
def test_biases_are_never_one_apart_before_the_shortest_time(history):
    # 1 / (2 * RATE) = 50 steps: two biases part by at most 2 * RATE in each.
    bias = torch.zeros(1, 4)
    for row in history:
        bias, _ = loss_free.update(torch.tensor([row], dtype=torch.float32), bias, MEMORY)
    assert spread(bias) < 1 - 1e-4


def test_biases_of_a_collapsed_router_are_one_apart_after_the_shortest_time():
    bias = torch.zeros(1, 4)
    for _ in range(50):
        bias, _ = loss_free.update(torch.tensor([[100.0, 0.0, 0.0, 0.0]]), bias, MEMORY)
    assert spread(bias) == pytest.approx(1, abs=1e-5)


def test_biases_more_than_one_apart_choose_whatever_the_token():
    logits = 20 * torch.randn(64, 2, generator=seeded(0))
    selection, _ = loss_free.score(logits, torch.tensor([1.001, 0.0]))
    assert bool(top_k(selection, 1)[:, 0].all())


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 2**31))
def test_a_fixed_preference_is_balanced_within_a_hundred_steps(seed):
    # Sigmoids of experts that differ by up to 0.46 on average need biases that far apart: 23 steps of 2 * RATE, and some to settle.
    offsets = torch.linspace(-1, 1, 8)
    logits = torch.randn(512, 8, generator=seeded(seed)) + offsets
    bias, memory = torch.zeros(8), torch.zeros(1, 4, 8)
    for _ in range(100):
        counts = counts_of(top_k(loss_free.score(logits, bias)[0], 2))
        bias = loss_free.update(counts[None], bias[None], memory)[0][0]
    before = counts_of(top_k(logits, 2))
    assert float(before.max()) > 2 * 128
    assert float(counts.max()) < 1.4 * 128
