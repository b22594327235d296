import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.methods import astrea_calibration as method  # noqa: E402 - it needs torch

GATES = torch.tensor([[0.6, 0.4], [0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
MASK = torch.tensor([[1, 1], [1, 1], [1, 0], [0, 1]], dtype=torch.bool)


def memory(first_row):
    return torch.cat([torch.tensor([first_row]), torch.zeros(3, len(first_row))])


def test_every_calibration_starts_at_one():
    rows = torch.tensor(method.init(experts=3, layers=2)["memory"])
    assert rows.shape == (2, 4, 3)
    assert torch.equal(rows[:, 0], torch.ones(2, 3))
    assert torch.equal(rows[:, 1:], torch.zeros(2, 3, 3))


def test_at_the_start_weights_are_the_usual_ones():
    usual = GATES * MASK / (GATES * MASK).sum(-1, keepdim=True)
    torch.testing.assert_close(method.gate(GATES, MASK, memory([1.0, 1.0]), torch.tensor(2)), usual)


def test_the_calibration_of_four_tokens_multiplies_their_weights():
    # 0.6 1.5 = 0.9 and 0.4 0.5 = 0.2, of 1.1; 0.75 and 0.25; then one expert alone.
    expected = torch.tensor([[9 / 11, 2 / 11], [0.75, 0.25], [1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(method.gate(GATES, MASK, memory([1.5, 0.5]), torch.tensor(2)), expected)


def test_with_one_expert_per_token_the_weight_keeps_its_size():
    weights = method.gate(GATES, MASK & (GATES >= 0.6), memory([1.5, 0.5]), torch.tensor(1))
    torch.testing.assert_close(weights[2:], torch.tensor([[1.35, 0.0], [0.0, 0.4]]))


def test_experts_without_any_calibration_get_no_weight():
    assert torch.equal(method.gate(GATES, MASK, memory([0.0, 0.0]), torch.tensor(2)), torch.zeros(4, 2))


def test_contributions_are_averaged_relative_to_their_mean():
    bias = torch.tensor([[0.1, 0.2]])
    before = memory([1.0, 1.0]).unsqueeze(0)
    same_bias, after = method.update(torch.tensor([[3.0, 1.0]]), bias, before)
    # The mean is 2: relative (1.5, 0.5), a hundredth of the way from 1.
    torch.testing.assert_close(after, memory([1.005, 0.995]).unsqueeze(0))
    assert torch.equal(same_bias, bias)
    assert torch.equal(before, memory([1.0, 1.0]).unsqueeze(0))


def test_a_layer_without_contribution_keeps_its_calibration():
    before = torch.stack([memory([1.2, 0.8]), memory([1.2, 0.8])])
    _, after = method.update(torch.tensor([[0.0, 0.0], [1.0, 1.0]]), torch.zeros(2, 2), before)
    assert torch.equal(after[0], before[0])
    torch.testing.assert_close(after[1, 0], torch.tensor([1.198, 0.802]))


@settings(deadline=None)  # a shared machine may stall
@given(seed=st.integers(0, 2**31), steps=st.integers(1, 5))
def test_the_mean_calibration_stays_one(seed, steps):
    generator = torch.Generator().manual_seed(seed)
    state = torch.tensor(method.init(experts=4, layers=3)["memory"])
    for _ in range(steps):
        _, state = method.update(torch.rand((3, 4), generator=generator), torch.zeros(3, 4), state)
    torch.testing.assert_close(state[:, 0].mean(-1), torch.ones(3))
    assert (state[:, 0] > 0).all()


@settings(deadline=None)
@given(seed=st.integers(0, 2**31))
def test_uniform_shares_have_the_least_loss(seed):
    shares = torch.randn((3, 6), generator=torch.Generator().manual_seed(seed)).softmax(-1)
    uniform = torch.full((3, 6), 1 / 6)
    assert method.loss(uniform, uniform).item() == pytest.approx(1, abs=1e-6)
    assert method.loss(shares, shares).item() >= 1 - 1e-6
