import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.methods import sigma_top1  # noqa: E402 - it needs torch


def logits(seed, layers=2, tokens=6, experts=5, scale=3.0):
    return scale * torch.randn((layers, tokens, experts), generator=torch.Generator().manual_seed(seed))


def test_the_loss_of_four_tokens():
    p = torch.tensor([[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]]])
    # fhat = (0.55, 0.45); 2 (0.3025 + 0.2025) = 1.01; the mean largest is (0.9 + 0.6 + 0.8 + 0.5) / 4 = 0.7.
    assert sigma_top1.loss(p.log()).item() == pytest.approx(1.01 / 0.7, abs=1e-6)


def test_the_loss_is_the_mean_over_the_layers():
    both = logits(0)
    apart = [sigma_top1.loss(layer).item() for layer in both.split(1)]
    assert sigma_top1.loss(both).item() == pytest.approx(sum(apart) / 2, abs=1e-6)


def test_the_temperature_sharpens(monkeypatch):
    z = logits(1)
    sharper = sigma_top1.loss(2 * z)
    monkeypatch.setattr(sigma_top1, "TEMPERATURE", 0.5)
    assert torch.equal(sigma_top1.loss(z), sharper)


@settings(deadline=None)  # a shared machine may stall
@given(seed=st.integers(0, 2**31), scale=st.floats(0.01, 50))
def test_the_loss_lies_between_one_and_the_number_of_experts(seed, scale):
    assert 1 - 1e-5 <= sigma_top1.loss(logits(seed, scale=scale)).item() <= 5 + 1e-5


def test_certain_and_even_tokens_have_the_least_loss():
    assert sigma_top1.loss(50 * torch.eye(5).repeat(2, 3, 1)).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("z", [torch.zeros(1, 4, 5), 50 * torch.eye(5)[:1].repeat(1, 4, 1)], ids=["undecided", "collapsed"])
def test_undecided_tokens_cost_as_much_as_collapsed_ones(z):
    assert sigma_top1.loss(z).item() == pytest.approx(5, abs=1e-5)


def test_flattening_the_logits_is_no_way_out():
    # Twice as many tokens want expert 0 as any other. Switch's loss falls towards 1 under the same scaling, counts unchanged.
    z = 3 * torch.eye(4)[torch.tensor([0, 0, 1, 2, 3])].unsqueeze(0)
    load = torch.tensor([0.4, 0.2, 0.2, 0.2])
    switch, switch_flat = (4 * (load * x.softmax(-1).mean(1)).sum().item() for x in (z, 0.01 * z))
    assert switch_flat < switch
    assert switch_flat == pytest.approx(1, abs=1e-3)
    assert sigma_top1.loss(0.01 * z).item() > 3.9 > sigma_top1.loss(z).item()


def test_gradients_are_finite_where_probabilities_vanish():
    z = (200 * torch.eye(5)).unsqueeze(0).requires_grad_()
    sigma_top1.loss(z).backward()
    assert z.grad.isfinite().all()
