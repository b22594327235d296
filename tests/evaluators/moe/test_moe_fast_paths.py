"""What is computed in a faster way than it reads, against the way it reads."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.moe.balancer import top_k  # noqa: E402 - it needs torch
from evolve.evaluators.moe.descent import deterministic  # noqa: E402
from evolve.evaluators.moe.model import Rotated, _rotation  # noqa: E402


def sorted_mask(selection, k):
    return torch.zeros(selection.shape, dtype=torch.bool).scatter(1, selection.topk(k, -1).indices, True)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.integers(1, 6), st.booleans())
def test_the_largest_are_those_that_sorting_finds_also_where_some_are_equal(seed, experts, k, ties):
    k = min(k, experts)
    selection = torch.randn(20, experts, generator=torch.Generator().manual_seed(seed))
    if ties:
        selection = selection.round()
    assert torch.equal(top_k(selection, k), sorted_mask(selection, k))


def test_experts_out_of_reach_are_chosen_where_there_are_no_others():
    selection = torch.tensor([[-torch.inf, 1.0, -torch.inf], [2.0, 1.0, -torch.inf]])
    assert torch.equal(top_k(selection, 2), sorted_mask(selection, 2))


def slow_rotation(mixed, heads):
    """Pair by pair: number i of a head and number i + half of it turn by position x 10000^(-2i / head)."""
    batch, length, three = mixed.shape
    head = three // (3 * heads)
    parts = mixed.view(batch, length, 3, heads, head).permute(2, 0, 3, 1, 4)
    angles = torch.arange(length, dtype=mixed.dtype)[:, None] * 10_000.0 ** (-torch.arange(0, head, 2, dtype=mixed.dtype) / head)
    first, second = parts[:2].chunk(2, -1)
    turned = (first * angles.cos() - second * angles.sin(), first * angles.sin() + second * angles.cos())
    return (*torch.cat(turned, -1), parts[2])


@pytest.mark.parametrize(("heads", "head", "length"), [(1, 2, 1), (2, 8, 5), (3, 6, 7)])
def test_turning_and_its_gradient_are_those_of_turning_pair_by_pair(heads, head, length):
    generator = torch.Generator().manual_seed(heads)
    mixed = torch.randn(2, length, 3 * heads * head, generator=generator, dtype=torch.float64, requires_grad=True)
    fast = Rotated.apply(mixed, _rotation(length, head).double(), heads)
    slow = slow_rotation(mixed, heads)
    cotangents = [torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in fast]
    for one, other in zip(fast, slow, strict=True):
        # The table of angles is in single precision.
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    gradients = [torch.autograd.grad(parts, mixed, cotangents)[0] for parts in (fast, slow)]
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=0)


def test_while_training_new_tensors_are_not_filled_and_afterwards_they_are_again():
    before = torch.utils.deterministic.fill_uninitialized_memory
    with deterministic("cpu"):
        assert not torch.utils.deterministic.fill_uninitialized_memory
    assert torch.utils.deterministic.fill_uninitialized_memory is before
