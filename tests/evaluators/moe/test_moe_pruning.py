from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import SMOKE, catalogued, lasting  # noqa: E402 - it needs torch

from evolve.evaluators.moe.pruning import PruningConfig, busy, specialise  # noqa: E402 - it needs torch
from evolve.evaluators.moe.trainer import train  # noqa: E402 - it needs torch

CONFIG = PruningConfig(steps=60)


def trained(method, steps=100):
    return train(catalogued(method), lasting(SMOKE, steps), 0)


@pytest.fixture(scope="module")
def model():
    return trained("moduleformer")


@pytest.fixture(scope="module")
def specialised(model):
    return specialise(model, "code", CONFIG, 1)


def test_half_an_even_share_is_the_least_that_keeps_an_expert():
    load = torch.tensor([[0.5, 0.3, 0.13, 0.07]])
    # An even share is 0.25: at half of it, 0.125, three stay.
    assert busy(load, 0.5, 1).tolist() == [[True, True, True, False]]
    assert busy(load, 0.0, 1).tolist() == [[True] * 4]


def test_as_many_experts_stay_as_a_token_goes_to():
    assert busy(torch.tensor([[0.97, 0.01, 0.02, 0.0]]), 1.0, 2).tolist() == [[True, False, True, False]]


def test_idle_experts_go_and_the_domain_hardly_notices_while_others_do(specialised):
    # Measured: 31 % of the experts stay; code loses 0.0001 nats per byte, the other domains 0.09.
    assert specialised.kept_share < 0.6
    assert abs(specialised.lost_here) < 0.02
    assert specialised.lost_elsewhere > specialised.lost_here + 0.02


def test_training_on_the_domain_has_helped_it(specialised):
    assert specialised.concentrated.cross_entropy[0] < specialised.before.cross_entropy[0] - 0.05
    assert {int(domain) for domains in specialised.training.mixture for domain in domains} == {0}


def test_pruned_experts_are_chosen_no_more(specialised):
    counts = specialised.pruned.counts.sum(0)
    assert counts[~specialised.kept].sum() == 0
    assert (specialised.kept.sum(1) >= SMOKE.model.active).all()
    # Each byte still goes to k experts.
    assert counts.sum() == SMOKE.model.layers * SMOKE.model.active * 6 * SMOKE.training.held_out * SMOKE.model.length


def test_the_loss_concentrates_the_load(model, specialised):
    plain = specialise(model, "code", replace(CONFIG, coefficient=0.0), 1)

    def entropy(result):
        shares = result.concentrated.counts[0] / result.concentrated.counts[0].sum(-1, keepdims=True)
        return -(shares * np.log(np.maximum(shares, 1e-12))).sum(-1).mean()

    assert entropy(specialised) < entropy(plain)


def test_the_model_that_was_there_stays_as_it_is(model, specialised):
    weight = model.model.head.weight
    assert not torch.equal(weight, specialised.training.model.head.weight)
    assert not model.balancer.bias.any()


def test_an_unknown_domain_is_refused(model):
    with pytest.raises(ValueError, match=r"domain must be one of code, prose, .*got 'law'"):
        specialise(model, "law", CONFIG, 0)


def test_a_model_with_another_router_is_refused():
    with pytest.raises(ValueError, match="has a linear router; train it with the method moduleformer"):
        specialise(trained("switch", 2), "code", CONFIG, 0)


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"learning_rate": 0.0}, {"coefficient": -1.0}, {"threshold": 2.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(CONFIG, **wrong)
