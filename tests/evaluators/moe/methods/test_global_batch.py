import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from routing_kit import PROBABILITIES, counts_of, scores_of, top_k  # noqa: E402 - it needs torch

from evolve.evaluators.moe.methods import global_batch, switch  # noqa: E402 - they need torch


def running(mask, micro_batches):
    """Load of micro-batches 0 to j for each j, (M, E), as the trainer gives it."""
    counts = counts_of(mask.unflatten(0, (micro_batches, -1))).cumsum(0)
    return counts / counts.sum(-1, keepdim=True)


def test_the_loss_of_two_micro_batches_of_two_tokens_is_the_one_worked_by_hand():
    load = running(top_k(PROBABILITIES, 1), 2)
    probability = PROBABILITIES.unflatten(0, (2, 2)).mean(1)
    # The first sees itself: load (1, 0, 0, 0) and probability 0.4 of expert 0. The second sees all four tokens, load
    # (0.75, 0.25, 0, 0), with its own probabilities (0.4, 0.35): 0.3875. 4 * (0.4 + 0.3875) / 2.
    assert float(global_batch.loss(load[None], probability[None])) == pytest.approx(1.575)


def test_experts_may_specialise_as_long_as_the_sum_is_even():
    # Each of four micro-batches wants one expert of its own, with certainty.
    own = torch.eye(4)
    within = float(torch.stack([switch.loss(own[j][None], own[j][None]) for j in range(4)]).mean())
    across = global_batch.loss((own.cumsum(0) / torch.arange(1, 5)[:, None])[None], own[None])
    assert within == pytest.approx(4)
    # Micro-batch j has the share 1 / (j + 1) of the running load: 4 * (1 + 1/2 + 1/3 + 1/4) / 4; the last, which sees all, pays 1.
    assert float(across) == pytest.approx(25 / 12)
    assert float(global_batch.loss(own.mean(0)[None, None], own[-1][None, None])) == pytest.approx(1)


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 2**31), st.integers(1, 4), st.sampled_from([1, 2]))
def test_micro_batches_that_are_all_alike_give_the_loss_of_switch(seed, micro_batches, k):
    scores = scores_of(seed, 16, 8)
    repeated = scores.repeat(micro_batches, 1)
    probability = repeated.unflatten(0, (micro_batches, -1)).mean(1)
    found = global_batch.loss(running(top_k(repeated, k), micro_batches)[None], probability[None])
    plain = switch.loss(counts_of(top_k(scores, k))[None] / (16 * k), scores.mean(0)[None])
    assert float(found) == pytest.approx(float(plain), rel=1e-5)


def test_even_loads_and_probabilities_have_the_loss_one():
    even = torch.full((2, 3, 8), 1 / 8)
    assert float(global_batch.loss(even, even)) == pytest.approx(1)
