import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.methods import expert_choice  # noqa: E402 - it needs torch

ONE = torch.tensor(1)


def two_experts(*first):
    """Probabilities of tokens for two experts, from those for the first."""
    first = torch.tensor(first)
    return torch.stack([first, 1 - first], -1)


def test_each_expert_takes_its_best_half_of_four_tokens():
    mask = expert_choice.select(two_experts(0.9, 0.8, 0.7, 0.4), ONE)
    # k T / E = 2: expert 0 takes the tokens 0 and 1, expert 1 the tokens 3 (0.6) and 2 (0.3).
    assert mask.tolist() == [[True, False], [True, False], [False, True], [False, True]]


def test_a_token_may_be_taken_by_several_experts_or_by_none():
    scores = torch.tensor([[0.9, 0.8, 0.1], [0.1, 0.9, 0.2], [0.8, 0.1, 0.9], [0.2, 0.2, 0.3], [0.3, 0.3, 0.4], [0.1, 0.2, 0.1]])
    assert expert_choice.select(scores, ONE).sum(-1).tolist() == [2, 1, 2, 0, 1, 0]


def test_weights_are_probabilities_as_they_are():
    gates = two_experts(0.9, 0.8, 0.7, 0.4)
    weights = expert_choice.gate(gates, expert_choice.select(gates, ONE))
    torch.testing.assert_close(weights.sum(-1), torch.tensor([0.9, 0.8, 0.3, 0.6]))


def test_what_a_token_gets_depends_on_later_tokens():
    before = expert_choice.select(two_experts(0.9, 0.8, 0.7, 0.4), ONE)
    after = expert_choice.select(two_experts(0.9, 0.8, 0.7, 0.95), ONE)
    # The last token takes the place that the second had with expert 0.
    assert (before[1].tolist(), after[1].tolist()) == ([True, False], [False, True])


@settings(deadline=None)  # a shared machine may stall
@given(seed=st.integers(0, 2**31), tokens=st.integers(1, 12), experts=st.integers(1, 6), data=st.data())
def test_experts_are_perfectly_balanced_whatever_the_router_does(seed, tokens, experts, data):
    k = data.draw(st.integers(1, experts))
    scores = torch.randn((tokens, experts), generator=torch.Generator().manual_seed(seed))
    counts = expert_choice.select(scores, torch.tensor(k)).sum(0).tolist()
    assert len(set(counts)) == 1
    # As much work as k experts per token, up to rounding.
    assert k * tokens <= sum(counts) < k * tokens + experts


@settings(deadline=None)
@given(seed=st.integers(0, 2**31), experts=st.integers(2, 6))
def test_a_later_token_that_every_expert_wants_pushes_an_earlier_one_out(seed, experts):
    scores = torch.rand((experts, experts), generator=torch.Generator().manual_seed(seed))
    # As many tokens as experts and k = 1: each expert takes one token.
    before, after = (
        expert_choice.select(torch.cat([scores[:-1], torch.full((1, experts), last)]), ONE)[:-1] for last in (-1.0, 2.0)
    )
    assert before.any(0).all()
    assert not after.any()


def test_alone_a_token_is_taken_by_every_expert():
    assert expert_choice.select(torch.randn((1, 6), generator=torch.Generator().manual_seed(0)), ONE).all()
