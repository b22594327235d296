import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.methods import pangu_moge  # noqa: E402 - it needs torch

#: Two groups, {0, 1} and {2, 3}; plain top-2 would give the first token 0 and 1.
FOUR_TOKENS = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.4, 0.1], [0.6, 0.1, 0.1, 0.2]])
CHOSEN = [[0, 2], [1, 3], [0, 2], [0, 3]]
TWO = torch.tensor(2)


def logits(seed, tokens, experts):
    return torch.randn((tokens, experts), generator=torch.Generator().manual_seed(seed))


def test_each_token_takes_the_best_expert_of_each_group():
    mask = pangu_moge.select(FOUR_TOKENS, TWO)
    assert [row.nonzero().flatten().tolist() for row in mask] == CHOSEN


def test_weights_are_shares_among_all_experts_and_do_not_sum_to_one():
    weights = pangu_moge.gate(FOUR_TOKENS, pangu_moge.select(FOUR_TOKENS, TWO))
    assert torch.equal(weights[0], torch.tensor([0.4, 0.0, 0.2, 0.0]))


def test_the_loss_of_four_tokens_is_the_mean_over_the_groups():
    mask = pangu_moge.select(FOUR_TOKENS, TWO)
    load, probability = mask.float().mean(0, keepdim=True) / 2, FOUR_TOKENS.mean(0, keepdim=True)
    # Group 0: counts 3 and 1, f = (3/4, 1/4); P = (0.375, 0.175) / 0.55 = (15/22, 7/22); 2 (45 + 7)/88 = 13/11.
    # Group 1: counts 2 and 2: 1 whatever P is. The mean is 12/11.
    assert pangu_moge.loss(load, probability, TWO.view(1)).item() == pytest.approx(12 / 11, abs=1e-6)


def test_two_experts_of_each_group_can_be_taken(monkeypatch):
    monkeypatch.setattr(pangu_moge, "PER_GROUP", 2)
    scores = torch.tensor([[0.1, 0.2, 0.3, 0.0, 9.0, 8.0, 7.0, 6.0]])
    assert pangu_moge.select(scores, torch.tensor(4)).nonzero()[:, 1].tolist() == [1, 2, 4, 5]


@settings(deadline=None)  # a shared machine may stall
@given(seed=st.integers(0, 2**31), tokens=st.integers(1, 9), k=st.integers(1, 4), size=st.integers(1, 4))
def test_every_group_is_chosen_once_by_every_token(seed, tokens, k, size):
    mask = pangu_moge.select(logits(seed, tokens, k * size), torch.tensor(k))
    assert torch.equal(mask.unflatten(-1, (k, size)).sum(-1), torch.ones(tokens, k, dtype=torch.int64))


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_token_is_routed_alike_alone_and_in_company(seed):
    scores = logits(seed, 5, 8)
    together = pangu_moge.select(scores, TWO)
    assert torch.equal(together, torch.cat([pangu_moge.select(row, TWO) for row in scores.split(1)]))


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_uniform_shares_have_the_least_loss(seed):
    shares = logits(seed, 3, 8).softmax(-1)
    uniform = torch.full((3, 8), 1 / 8)
    k = torch.tensor([2, 2, 2])
    assert pangu_moge.loss(uniform, uniform, k).item() == pytest.approx(1, abs=1e-6)
    # By Cauchy and Schwarz, where the load follows the probability.
    assert pangu_moge.loss(shares, shares, k).item() >= 1 - 1e-6


def test_the_loss_does_not_see_how_groups_share_the_probability():
    load, probability = torch.tensor([[0.3, 0.2, 0.1, 0.4]]), torch.tensor([[0.4, 0.3, 0.2, 0.1]])
    moved = probability * torch.tensor([0.5, 0.5, 2.0, 2.0])
    k = TWO.view(1)
    assert pangu_moge.loss(load, moved, k).item() == pytest.approx(pangu_moge.loss(load, probability, k).item(), abs=1e-6)


@pytest.mark.parametrize(("k", "experts"), [(3, 4), (2, 5)])
def test_uneven_groups_are_refused(k, experts):
    with pytest.raises(ValueError, match=f"{experts} experts cannot give {k} of them"):
        pangu_moge.select(torch.zeros(1, experts), torch.tensor(k))


def test_a_group_may_not_take_more_than_k(monkeypatch):
    monkeypatch.setattr(pangu_moge, "PER_GROUP", 3)
    with pytest.raises(ValueError, match="change PER_GROUP"):
        pangu_moge.select(torch.zeros(1, 4), TWO)
