import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.methods import moduleformer_concentration as method  # noqa: E402 - it needs torch

#: Four tokens of two experts each: counts 4, 3, 1, 0.
LOAD = torch.tensor([[4, 3, 1, 0]]) / 8


def test_the_loss_of_four_tokens_is_the_entropy_of_their_mean():
    p = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.5, 0.25, 0.25], [0.5, 0.25, 0.25]])
    # The mean is (1/2, 1/4, 1/4): 1/2 log 2 + 2/4 log 4 = 1.5 log 2.
    assert method.loss(p.mean(0, keepdim=True)).item() == pytest.approx(1.5 * math.log(2), abs=1e-6)


def test_one_expert_for_all_has_the_least_loss_and_even_use_the_largest():
    assert method.loss(torch.eye(4)).item() == pytest.approx(0, abs=1e-6)
    assert method.loss(torch.full((2, 4), 0.25)).item() == pytest.approx(math.log(4), abs=1e-6)


@settings(deadline=None)  # a shared machine may stall
@given(seed=st.integers(0, 2**31), scale=st.floats(0, 100))
def test_the_loss_lies_between_zero_and_log_experts(seed, scale):
    z = scale * torch.randn((3, 6), generator=torch.Generator().manual_seed(seed))
    assert -1e-5 <= method.loss(z.softmax(-1)).item() <= math.log(6) + 1e-5


def test_experts_below_the_threshold_are_switched_off():
    assert method.prunable(LOAD, 0.2).tolist() == [[False, False, True, True]]
    assert method.prune(torch.zeros(1, 4), LOAD, 0.2).tolist() == [[0.0, 0.0, method.PRUNED, method.PRUNED]]


def test_pruning_again_keeps_what_is_switched_off():
    once = method.prune(torch.zeros(1, 4), LOAD, 0.2)
    assert torch.equal(method.prune(once, torch.tensor([[0.4, 0.1, 0.25, 0.25]]), 0.05), once)


def test_the_softmax_is_over_the_experts_that_are_left():
    logits = torch.tensor([[1.0, 2.0, 9.0, 9.0]])
    selection, gates = method.score(logits, method.prune(torch.zeros(1, 4), LOAD, 0.2)[0])
    expected = torch.cat([logits[:, :2].softmax(-1), torch.zeros(1, 2)], -1)
    torch.testing.assert_close(gates, expected)
    assert torch.equal(selection, gates)


def test_a_layer_is_not_pruned_away():
    load = torch.cat([LOAD, torch.full((1, 4), 0.25)])
    with pytest.raises(ValueError, match=r"would prune every expert of layers \[1\]"):
        method.prune(torch.zeros(2, 4), load, 0.3)


def test_a_layer_is_not_pruned_away_by_turns():
    once = method.prune(torch.zeros(1, 4), LOAD, 0.2)
    with pytest.raises(ValueError, match="take a lower one"):
        method.prune(once, torch.tensor([[0.0, 0.0, 0.5, 0.5]]), 0.2)
