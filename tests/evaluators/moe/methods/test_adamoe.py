import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.methods import adamoe  # noqa: E402 - it needs torch

#: Two true experts, then two null ones; two are chosen per token.
WIDTHS = torch.tensor([1.0, 1.0, 0.0, 0.0])
GATES = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.4, 0.1, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4], [0.4, 0.1, 0.3, 0.2]])
MASK = torch.tensor([[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 1, 0]], dtype=torch.bool)
LOAD = MASK.float().sum(0, keepdim=True) / 8
PROBABILITY = GATES.mean(0, keepdim=True)


def shares(seed, layers, experts):
    return torch.randn((layers, experts), generator=torch.Generator().manual_seed(seed)).softmax(-1)


def test_as_many_null_experts_are_appended_and_k_is_doubled():
    assert adamoe.cost([1.0, 0.5, 1.0]) == [1.0, 0.5, 1.0, 0.0, 0.0, 0.0]
    assert adamoe.schedule(2) == {"k": 4, "coefficient": 1e-3}


def test_weights_of_the_chosen_true_experts_sum_to_one():
    weights = adamoe.gate(GATES, MASK, WIDTHS)
    # 0.4 and 0.3 are divided by 0.7; a single true expert gets all; the third token chose nulls alone.
    expected = torch.tensor([[4 / 7, 3 / 7, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    torch.testing.assert_close(weights, expected)


def test_a_token_without_true_experts_gives_a_finite_gradient():
    gates = GATES.clone().requires_grad_()
    adamoe.gate(gates, MASK, WIDTHS).square().sum().backward()
    assert gates.grad.isfinite().all()
    assert torch.equal(gates.grad[2], torch.zeros(4))


def test_the_loss_of_four_tokens_averages_the_load_of_the_nulls():
    # Counts 3, 1, 3, 1 of 8: f~ = (3, 1, 2, 2) / 8. P = (0.325, 0.175, 0.275, 0.225).
    # 4 (0.375 0.325 + 0.125 0.175 + 0.25 0.5) = 4 (0.121875 + 0.021875 + 0.125) = 1.075; null by null it would be 1.1.
    assert adamoe.loss(LOAD, PROBABILITY, WIDTHS).item() == pytest.approx(1.075, abs=1e-6)


def test_which_null_expert_is_taken_does_not_matter():
    def loss(load, probability):
        return adamoe.loss(torch.tensor([load]), torch.tensor([probability]), WIDTHS).item()

    usual = loss([0.4, 0.2, 0.2, 0.2], [0.4, 0.3, 0.1, 0.2])
    assert loss([0.4, 0.2, 0.4, 0.0], [0.4, 0.3, 0.1, 0.2]) == pytest.approx(usual, abs=1e-6)
    assert loss([0.4, 0.2, 0.2, 0.2], [0.4, 0.3, 0.3, 0.0]) == pytest.approx(usual, abs=1e-6)
    # Which true expert is taken does, and so does how much all nulls together are.
    assert loss([0.2, 0.4, 0.2, 0.2], [0.4, 0.3, 0.1, 0.2]) < usual - 0.01
    assert loss([0.2, 0.2, 0.3, 0.3], [0.4, 0.3, 0.1, 0.2]) < usual - 0.01


def test_null_experts_feel_the_same_gradient_however_unevenly_they_are_used():
    probability = PROBABILITY.clone().requires_grad_()
    adamoe.loss(LOAD, probability, WIDTHS).backward()
    # 4 f~: 3/2, 1/2, and 1 for both nulls.
    torch.testing.assert_close(probability.grad, torch.tensor([[1.5, 0.5, 1.0, 1.0]]))


@settings(deadline=None)  # a shared machine may stall
@given(true=st.integers(1, 8), data=st.data())
def test_balanced_tokens_take_as_many_true_experts_as_without_nulls(true, data):
    k = data.draw(st.integers(1, true))
    widths = torch.tensor(adamoe.cost([1.0] * true))
    experts, raised = len(widths), adamoe.schedule(k)["k"]
    # Token t takes the experts t, t + 1, ... in a circle: every expert equally often, every token another number of true ones.
    mask = torch.tensor([[(expert - token) % experts < raised for expert in range(experts)] for token in range(experts)])
    assert (mask & (widths > 0)).sum() / len(mask) == raised * true / experts == k
    load = mask.float().sum(0, keepdim=True) / mask.sum()
    assert adamoe.loss(load, torch.full((1, experts), 1 / experts), widths).item() == pytest.approx(1, abs=1e-5)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), true=st.integers(1, 6))
def test_uniform_shares_have_the_least_loss(seed, true):
    widths = torch.tensor(adamoe.cost([1.0] * true))
    followed = shares(seed, 2, 2 * true)
    # sum f~ P = sum f~^2 over the nulls' mean, which is at least 1/E.
    assert adamoe.loss(followed, followed, widths).item() >= 1 - 1e-5
