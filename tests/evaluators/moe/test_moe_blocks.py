from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from conversion_kit import SMALL, TINY, drawn, text  # noqa: E402 - it needs torch
from moe_kit import lasting  # noqa: E402 - it needs torch

from evolve.evaluators.moe.blocks import (  # noqa: E402 - it needs torch
    BlocksConfig,
    MixtureOfBlocks,
    blocks_cross_entropy,
    distil_blocks,
)
from evolve.evaluators.moe.conversion import Chosen, Layout, convert  # noqa: E402 - it needs torch
from evolve.evaluators.moe.dense import nowhere, train_dense  # noqa: E402 - it needs torch
from evolve.evaluators.moe.measuring import cross_entropy  # noqa: E402 - it needs torch
from evolve.evaluators.moe.splits import random_split  # noqa: E402 - see above

CONFIG = BlocksConfig(group=2, active=1, alpha=0.25, prefix=4)


def mixture_of(model=None, **changes):
    return MixtureOfBlocks(model or drawn(), replace(CONFIG, **changes), 0)


def pooled(x):
    return torch.nn.functional.layer_norm(x[:, :4].mean(1), x.shape[-1:])


def test_scores_weigh_what_enters_the_group_against_how_the_sequence_begins():
    mixture, x, y = mixture_of(), torch.randn(3, 12, 8), torch.randn(3, 12, 8)
    expected = 0.25 * pooled(x) @ mixture.of_sample[0].weight.t() + 0.75 * pooled(y) @ mixture.of_text[0].weight.t()
    assert torch.allclose(mixture.scores(0, x, y), expected, atol=1e-6)


def test_with_all_blocks_chosen_it_is_the_model():
    model, tokens = drawn(), text()
    mixture = mixture_of(model, active=2)
    assert torch.allclose(mixture.read(mixture(tokens[:, :-1])), model(tokens[:, :-1], nowhere), atol=1e-5)


def test_every_sequence_goes_through_the_blocks_that_it_chose_and_no_others():
    model, tokens = drawn(), text(6)[:, :-1]
    mixture = mixture_of(model, alpha=0.0)
    passed = mixture(tokens)
    [mask] = passed.masks
    assert mask.sum(1).tolist() == [1] * 6
    assert mask.any(0).all()  # both are chosen by somebody
    x = model.embedding(tokens)
    for sequence in range(6):
        block = model.blocks[int(mask[sequence].int().argmax())]
        alone = block(x[sequence : sequence + 1], model.rotation, nowhere, 0)
        assert torch.allclose(passed.outputs[0][sequence : sequence + 1], alone, atol=1e-5)


def test_routers_get_gradients_though_a_chosen_block_has_weight_one():
    mixture = mixture_of()
    blocks_cross_entropy(mixture, text(6)).mean().backward()
    assert float(mixture.of_sample[0].weight.grad.norm()) > 0
    assert float(mixture.of_text[0].weight.grad.norm()) > 0


def test_bytes_behind_the_prefix_change_no_choice_and_nothing_before_them():
    mixture, tokens = mixture_of(), text(6)[:, :-1]
    changed = torch.cat((tokens[:, :8], (tokens[:, 8:] + 1) % 256), 1)
    before, after = mixture(tokens), mixture(changed)
    assert torch.equal(before.masks[0], after.masks[0])
    assert torch.equal(before.probabilities[0], after.probabilities[0])
    assert torch.allclose(mixture.read(before)[:, :8], mixture.read(after)[:, :8], atol=1e-6)


def test_what_is_predicted_within_the_prefix_does_not_count():
    model, tokens = drawn(), text()
    mixture = mixture_of(model, active=2)
    # Whatever the model, and with all blocks: bytes 4 to 12 are predicted at places 3 to 11.
    logits = model(tokens[:, :-1], nowhere)[:, 3:]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 4:].flatten(), reduction="none").view(3, -1)
    assert torch.allclose(blocks_cross_entropy(mixture, tokens), losses.mean(1), atol=1e-5)
    whole = mixture_of(model, active=2, prefix=1)
    assert torch.allclose(blocks_cross_entropy(whole, tokens), cross_entropy(model, tokens, nowhere), atol=1e-5)


def test_a_converted_model_can_be_the_start():
    layout = Layout.published(8)
    student = convert(drawn(), random_split(2, 8, 12, 2, np.random.default_rng(0)), layout, 0)
    assert torch.isfinite(blocks_cross_entropy(mixture_of(student), text(), Chosen(2))).all()


def test_distillation_brings_half_the_blocks_near_the_whole_model():
    teacher = train_dense(SMALL, 0)
    mixture = mixture_of(teacher)
    tokens = text(4, 32)
    before = teacher.head.weight.clone()
    losses = distil_blocks(mixture, teacher, lasting(SMALL, 40), 1)
    assert torch.equal(teacher.head.weight, before)
    assert len(losses) == 40
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    assert torch.isfinite(blocks_cross_entropy(mixture, tokens)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"group": 3}, "2 blocks do not make groups of 3"), ({"prefix": 13}, "prefix must be <= length = 12, got 13")],
)
def test_groups_that_do_not_fit_the_model_are_refused(changes, message):
    assert TINY.layers == 2
    with pytest.raises(ValueError, match=message):
        mixture_of(**changes)


@pytest.mark.parametrize("changes", [{"active": 0}, {"active": 3}, {"alpha": 1.5}, {"prefix": 0}])
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        replace(CONFIG, **changes)
