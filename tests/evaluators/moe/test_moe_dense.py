import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from conversion_kit import SMALL, TINY, drawn, text  # noqa: E402 - it needs torch
from moe_kit import SMOKE, catalogued, lasting  # noqa: E402 - it needs torch

from evolve.evaluators.moe.corpus import load_corpus  # noqa: E402 - see above
from evolve.evaluators.moe.dense import dense_size, nowhere, train_dense  # noqa: E402 - it needs torch
from evolve.evaluators.moe.measuring import cross_entropy_by_domain, held_out  # noqa: E402 - it needs torch
from evolve.evaluators.moe.model import Transformer  # noqa: E402 - it needs torch
from evolve.evaluators.moe.trainer import train  # noqa: E402 - it needs torch


def test_the_same_seed_gives_the_same_weights_to_the_bit_and_another_one_others():
    first, again, other = (train_dense(lasting(SMALL, 3), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_a_trained_dense_model_predicts_held_out_text_better_than_chance():
    found = cross_entropy_by_domain(train_dense(SMALL, 0), held_out(load_corpus(), 4, 32), nowhere)
    assert len(found) == 6
    # A byte that could be any costs log 256 = 5.55 nats; 128 characters cost 4.85.
    assert max(found) < 4.5


def test_a_dense_model_has_a_network_of_four_times_its_width():
    assert dense_size(48).model.expert_width == 192


def test_what_leaves_the_blocks_is_read_as_the_whole_model_reads_it():
    model, tokens = drawn(), text()[:, :-1]
    outputs = model.outputs(tokens, nowhere)
    assert len(outputs) == TINY.layers
    assert torch.equal(model.read(outputs[-1]), model(tokens, nowhere))


def test_a_model_of_several_experts_is_refused_and_told_where_to_go():
    with pytest.raises(ValueError, match=r"1 expert, got 8: train it with trainer\.train"):
        train_dense(SMOKE, 0)


def test_a_dense_model_is_not_trained_with_a_balancing_method():
    with pytest.raises(ValueError, match=r"train it with dense\.train_dense"):
        train(catalogued("none"), SMALL, 0)


def test_the_route_of_a_dense_model_is_never_asked():
    mixture = Transformer(SMOKE.model)
    with pytest.raises(ValueError, match="the model is not dense"):
        mixture(text()[:, :-1], nowhere)
