import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from routing_kit import counts_of, max_violation, scores_of, seeded, top_k  # noqa: E402 - it needs torch

from evolve.evaluators.moe.methods import quantile  # noqa: E402 - it needs torch


def updated(scores, bias, k):
    """One layer's bias after a step."""
    bias, _ = quantile.update(scores[None], torch.tensor([k]), bias[None], torch.zeros(1, 4, scores.shape[-1]))
    return bias[0]


def test_one_step_on_four_tokens_is_the_one_worked_by_hand():
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert counts_of(top_k(scores, 1)).tolist() == [4, 0]
    bias = updated(scores, torch.zeros(2), 1)
    # The second scores 0.1, 0.2, 0.3, 0.4 are the cutoffs. Expert 0 exceeds them by 0.8, 0.6, 0.4, 0.2, whose median is 0.5;
    # expert 1 by 0.
    assert bias.tolist() == pytest.approx([-0.5, 0])
    # 0.4, 0.3, 0.2, 0.1 against 0.1, 0.2, 0.3, 0.4
    assert counts_of(top_k(scores + bias, 1)).tolist() == [2, 2]


@settings(deadline=None, max_examples=25)  # a shared machine may stall
@given(st.integers(0, 2**31), st.sampled_from([(4, 1), (8, 2), (16, 2), (16, 4)]))
def test_random_scores_are_balanced_after_some_rounds(seed, size):
    experts, k = size
    scores = scores_of(seed, 1024, experts)
    bias = torch.zeros(experts)
    for _ in range(60):
        bias = updated(scores, bias, k)
    # But for a few tokens, which go back and forth: 3 was the most of 240 draws, and the mean is 1024 k / E.
    assert max_violation(counts_of(top_k(scores + bias, k))) <= 6 * experts / (1024 * k)


def test_scores_that_were_never_seen_are_balanced_but_for_chance():
    bias = torch.zeros(8)
    likes = torch.linspace(-1, 1, 8)
    for step in range(30):
        bias = updated((torch.randn(4096, 8, generator=seeded(step)) + likes).softmax(-1), bias, 2)
    unseen = (torch.randn(4096, 8, generator=seeded(1000)) + likes).softmax(-1)
    # The mean is 1024 tokens, a standard deviation at most sqrt(1024) = 32, twice that for the noise of the thresholds.
    assert max_violation(counts_of(top_k(unseen, 2))) > 1
    assert max_violation(counts_of(top_k(unseen + bias, 2))) < 4 * 64 / 1024


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 2**31), st.floats(0.1, 100), st.floats(-10, 10))
def test_the_scale_and_origin_of_the_scores_do_not_matter(seed, scale, origin):
    scores = scores_of(seed, 32, 8).double()
    plain = updated(scores, torch.zeros(8, dtype=torch.float64), 2)
    assert torch.allclose(updated(scale * scores + origin, torch.zeros(8, dtype=torch.float64), 2), scale * plain, atol=1e-8)


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 2**31), st.integers(1, 7))
def test_the_sign_rule_is_a_step_along_the_same_dual(seed, k):
    scores = scores_of(seed, 64, 8)
    thresholds = (0.1 * torch.randn(8, generator=seeded(seed))).requires_grad_()
    # The dual of the assignment, minimised over the cutoffs: what tokens get out of their k best, and what the shares cost.
    dual = (scores - thresholds).topk(k, -1).values.sum() + 64 * k / 8 * thresholds.sum()
    dual.backward()
    counts = counts_of(top_k(scores - thresholds.detach(), k))
    assert torch.equal(thresholds.grad.sign(), (counts.mean() - counts).sign())


def test_layers_may_have_different_k():
    scores = torch.stack([scores_of(0, 64, 8), scores_of(2, 64, 8)])
    both, _ = quantile.update(scores, torch.tensor([1, 4]), torch.zeros(2, 8), torch.zeros(2, 4, 8))
    assert torch.equal(both[0], updated(scores[0], torch.zeros(8), 1))
    assert torch.equal(both[1], updated(scores[1], torch.zeros(8), 4))
