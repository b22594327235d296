import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.methods import moduleformer  # noqa: E402 - it needs torch


def random(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def even(*shape):
    """What `uniform` is in evaluation."""
    return torch.full(shape, 0.5)


def test_the_loss_of_four_tokens_is_minus_the_mutual_information():
    p = torch.tensor([[[0.75, 0.25], [0.25, 0.75], [0.75, 0.25], [0.25, 0.75]]])
    # H(e) = log 2; H(e|x) = 0.75 log(4/3) + 0.25 log 4 = 2 log 2 - 0.75 log 3.
    assert moduleformer.loss(p.log()).item() == pytest.approx(math.log(2) - 0.75 * math.log(3), abs=1e-6)


@settings(deadline=None)  # a shared machine may stall
@given(seed=st.integers(0, 2**31), scale=st.floats(0, 100))
def test_the_loss_lies_between_minus_log_experts_and_zero(seed, scale):
    assert -math.log(5) - 1e-5 <= moduleformer.loss(scale * random(seed, 2, 7, 5)).item() <= 1e-5


def test_certain_and_even_tokens_have_the_least_loss():
    assert moduleformer.loss(60 * torch.eye(5).repeat(2, 3, 1)).item() == pytest.approx(-math.log(5), abs=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_tokens_that_are_all_alike_have_the_largest_loss(seed):
    assert moduleformer.loss(random(seed, 1, 1, 5).expand(2, 7, 5)).item() == pytest.approx(0, abs=1e-5)


def test_gradients_are_finite_where_probabilities_vanish():
    z = (200 * torch.eye(5)).unsqueeze(0).requires_grad_()
    moduleformer.loss(z).backward()
    assert z.grad.isfinite().all()


def test_weights_do_not_sum_to_one():
    gates = torch.tensor([[0.5, 0.3, 0.2]])
    mask = moduleformer.select(gates, even(1, 3), torch.tensor(2))
    assert torch.equal(moduleformer.gate(gates, mask), torch.tensor([[0.5, 0.3, 0.0]]))


@pytest.mark.parametrize("sampled", [0, 1, 3])
def test_without_chance_the_largest_are_chosen(monkeypatch, sampled):
    monkeypatch.setattr(moduleformer, "SAMPLED", sampled)
    p = random(3, 50, 8).softmax(-1)
    expected = torch.zeros_like(p, dtype=torch.bool).scatter(-1, p.topk(3).indices, True)
    assert torch.equal(moduleformer.select(p, even(50, 8), torch.tensor(3)), expected)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), k=st.integers(1, 6), sampled=st.integers(0, 6))
def test_k_experts_are_chosen_and_the_best_are_among_them(seed, k, sampled):
    sampled = min(sampled, k)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moduleformer, "SAMPLED", sampled)
        p = random(seed, 4, 6).softmax(-1)
        uniform = torch.rand((4, 6), generator=torch.Generator().manual_seed(seed)).clamp(1e-6, 1 - 1e-6)
        mask = moduleformer.select(p, uniform, torch.tensor(k))
        alone = torch.cat([moduleformer.select(*rows, torch.tensor(k)) for rows in zip(p.split(1), uniform.split(1), strict=True)])
    assert mask.sum(-1).tolist() == [k] * 4
    assert mask.gather(-1, p.topk(k - sampled).indices).all()
    assert torch.equal(mask, alone)


def test_the_last_experts_are_drawn_in_proportion_to_their_probabilities(monkeypatch):
    monkeypatch.setattr(moduleformer, "SAMPLED", 1)
    n = 20_000
    p = torch.tensor([0.5, 0.3, 0.2]).expand(n, 3)
    uniform = torch.rand((n, 3), generator=torch.Generator().manual_seed(5)).clamp(1e-6, 1 - 1e-6)
    often = moduleformer.select(p, uniform, torch.tensor(2)).float().mean(0)
    # Expert 0 is kept; 1 is drawn before 2 with probability 0.3 / 0.5, with a standard error of sqrt(0.24 / n) = 0.0035.
    assert often[0] == 1
    assert often[1].item() == pytest.approx(0.6, abs=5 * 0.0035)
