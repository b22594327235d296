import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from conversion_kit import TINY, drawn, text  # noqa: E402 - it needs torch

from evolve.evaluators.moe.conversion import (  # noqa: E402 - it needs torch
    Chosen,
    Layout,
    all_experts,
    convert,
    examine,
    importance,
    shared_only,
)
from evolve.evaluators.moe.dense import nowhere  # noqa: E402 - it needs torch
from evolve.evaluators.moe.measuring import cross_entropy  # noqa: E402 - it needs torch
from evolve.evaluators.moe.splits import random_split, taylor_split  # noqa: E402 - see above

LAYOUT = Layout.published(8)


def by_chance(seed=0):
    return random_split(2, 8, 12, 2, np.random.default_rng(seed))


def test_the_published_layout_leaves_three_eighths_of_a_network_active():
    # r = 4 = 1 + 12 * 0.25; of 4, 1 + 2 * 0.25 = 1.5 are active.
    assert Layout.published(64) == Layout(shared=64, experts=12, expert_width=16, active=2)
    assert Layout.published(64).hidden == 256
    assert Layout.published(64).active_share == 1.5 / 4


@settings(deadline=None, max_examples=10)  # a shared machine may stall
@given(seed=st.integers(0, 2**31))
def test_all_experts_together_answer_as_the_dense_model_does(seed):
    dense, tokens = drawn(seed=seed % 1000), text(seed=seed)[:, :-1]
    student = convert(dense, by_chance(seed), LAYOUT, seed)
    assert torch.allclose(student(tokens, all_experts), dense(tokens, nowhere), atol=1e-5)


def test_the_shared_expert_is_the_dense_network_without_the_other_units():
    dense, tokens = drawn(), text()[:, :-1]
    assignment = by_chance()
    student = convert(dense, assignment, LAYOUT, 0)
    with torch.no_grad():
        for row, block in zip(assignment, dense.blocks, strict=True):
            block.mixture.down.weight[:, row != 0] = 0
    assert torch.allclose(student(tokens, shared_only), dense(tokens, nowhere), atol=1e-5)


def test_an_expert_has_its_units_in_their_order():
    dense, assignment = drawn(), by_chance()
    student = convert(dense, assignment, LAYOUT, 0)
    units = np.flatnonzero(assignment[1] == 3)
    network, experts = dense.blocks[1].mixture, student.blocks[1].mixture.experts
    assert torch.equal(experts.w_in[2], network.up.weight[units].t())
    assert torch.equal(experts.w_out[2], network.down.weight[:, units].t())


def test_the_dense_model_stays_as_it_is():
    dense = drawn()
    before = {name: weight.clone() for name, weight in dense.state_dict().items()}
    student = convert(dense, by_chance(), LAYOUT, 0)
    with torch.no_grad():
        for weight in student.parameters():
            weight.add_(1.0)
    assert all(torch.equal(weight, before[name]) for name, weight in dense.state_dict().items())


def test_a_byte_goes_to_the_likeliest_experts_with_weights_that_sum_to_their_number():
    route = Chosen(2)
    # Probabilities 0.5, 0.25, 0.125, 0.125.
    routed = route(0, torch.tensor([[4.0, 2.0, 1.0, 1.0]]).log())
    assert routed.mask.tolist() == [[True, True, False, False]]
    assert routed.weights[0].tolist() == pytest.approx([4 / 3, 2 / 3, 0, 0])
    assert route.masks[0] is routed.mask


def test_importance_is_what_finite_differences_say():
    dense, tokens = drawn(), text()
    found = importance(dense, [tokens])
    unit, expected, step = 5, 0.0, 1e-2
    network = dense.blocks[1].mixture
    with torch.no_grad():
        for weights in (network.up.weight[unit], network.down.weight[:, unit]):
            for place in range(len(weights)):
                was, losses = float(weights[place]), []
                for change in (step, -step):
                    weights[place] = was + change
                    losses.append(float(cross_entropy(dense, tokens, nowhere).mean()))
                weights[place] = was
                expected += abs((losses[0] - losses[1]) / (2 * step) * was)
    assert float(found[1, unit]) == pytest.approx(expected, rel=0.05)


def test_a_unit_that_leads_nowhere_has_no_importance():
    dense = drawn()
    with torch.no_grad():
        dense.blocks[0].mixture.down.weight[:, 7] = 0
        dense.blocks[0].mixture.up.weight[7] = 0
    assert float(importance(dense, [text()])[0, 7]) == 0


def test_importance_is_of_the_mean_loss_of_all_batches():
    dense, one, other = drawn(), text(seed=1), text(seed=2)
    # Both batches are equally long, so that one batch of both has the same mean.
    assert torch.allclose(importance(dense, [one, other]), importance(dense, [torch.cat((one, other))]), atol=1e-7)


def test_units_are_examined_on_evenly_spread_bytes():
    dense, tokens = drawn(), text()
    known = examine(dense, [tokens], samples=4)
    assert known.importance.shape == (2, 32)
    assert known.weights.shape == (2, 32, 16)
    assert known.activations.shape == (2, 4, 32)
    embedded = dense.blocks[0]
    x = dense.embedding(tokens[:, :-1])
    x = x + embedded.attention(embedded.norm_attention(x), dense.rotation)
    hidden = torch.nn.functional.gelu(embedded.mixture.up(embedded.norm_mixture(x))).flatten(0, 1)
    # Of 36 bytes: the first, the last, and two between.
    assert np.allclose(known.activations[0], hidden[[0, 11, 23, 35]].detach().numpy(), atol=1e-6)
    assert np.array_equal(known.weights[1, :, 8:], dense.blocks[1].mixture.down.weight.detach().t().numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda split: split[:1], r"must have shape \(2, 32\), got \(1, 32\)"),
        (lambda split: split.astype(float), "must be whole numbers, got float64"),
        (lambda split: split.astype(bool), "must be whole numbers, got bool"),
        (lambda split: np.where(split == 12, 13, split), "layer 0: experts are 0 .shared. to 12, got 13"),
        (lambda split: np.where(split == 12, -1, split), "layer 0: experts are 0 .shared. to 12, got -1"),
        (lambda split: np.where(split == 12, 11, split), "layer 0: expert 11 has 4 hidden units, expected 2"),
    ],
)
def test_an_assignment_that_does_not_fit_is_refused_with_its_reason(change, message):
    with pytest.raises(ValueError, match=message):
        convert(drawn(), change(by_chance()), LAYOUT, 0)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8", "uint64"])
def test_whole_numbers_of_any_kind_are_an_assignment(dtype):
    dense, tokens = drawn(), text()[:, :-1]
    first, second = (convert(dense, split, LAYOUT, 0)(tokens, shared_only) for split in (by_chance(), by_chance().astype(dtype)))
    assert torch.equal(first, second)


def test_only_a_dense_model_of_the_right_size_is_converted():
    with pytest.raises(ValueError, match="expected a dense model of 64 hidden units, got 1 experts of 32"):
        Layout.published(16).model(TINY)
    student = convert(drawn(), by_chance(), LAYOUT, 0)
    with pytest.raises(ValueError, match="is a mixture already"):
        importance(student, [text()])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((0, 2, 2, 1), "shared"), ((4, 1, 4, 1), "experts"), ((4, 2, 0, 1), "expert_width"), ((4, 2, 2, 3), "active must be <= exp")],
)
def test_a_layout_of_impossible_sizes_is_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        Layout(*sizes)


def test_a_width_that_does_not_divide_has_no_published_layout():
    with pytest.raises(ValueError, match="multiple of 4, got 10"):
        Layout.published(10)


def test_the_most_important_units_matter_most():
    """Of an untrained model already: what the shared expert keeps decides how far its answer is from the dense one's."""
    dense, tokens = drawn(), text(16)
    rank = importance(dense, [tokens]).numpy()
    with torch.no_grad():
        wanted = dense(tokens[:, :-1], nowhere)
        least, most = (
            float((convert(dense, taylor_split(each, 8, 12), LAYOUT, 0)(tokens[:, :-1], shared_only) - wanted).norm())
            for each in (rank, -rank)
        )
    assert least < most
