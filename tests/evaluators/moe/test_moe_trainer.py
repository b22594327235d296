import dataclasses
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import SMOKE, TINY, catalogued, lasting, one_thread, written  # noqa: E402, F401 - it needs torch; a fixture

from evolve.evaluators.base import Invalid  # noqa: E402 - after what may skip
from evolve.evaluators.moe import metrics  # noqa: E402 - see above
from evolve.evaluators.moe.trainer import train  # noqa: E402 - it needs torch

#: The trainer's defaults, written out; asks for everything that costs something.
DEFAULTS = """
def score(logits, bias, noise):
    gates = logits.softmax(-1)
    return gates.detach() + bias, gates
def select(selection, uniform, k):
    return torch.zeros_like(selection, dtype=torch.bool).scatter(1, selection.topk(int(k), -1).indices, True)
def gate(gates, mask):
    weights = gates * mask
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-9)
def loss(logits, sequence_probability):
    return 0 * logits.sum() + 0 * sequence_probability.sum()
def update(contribution, scores, bias, memory):
    return bias, memory
"""


def assert_same(one, other):
    """Two trainings agree to the last bit."""
    assert one.losses == other.losses
    assert np.array_equal(one.loads, other.loads)
    assert (one.spent, one.dropped, one.z_norm) == (other.spent, other.dropped, other.z_norm)
    for mine, theirs in zip(one.checkpoints, other.checkpoints, strict=True):
        assert mine.cross_entropy == theirs.cross_entropy
        assert np.array_equal(mine.counts, theirs.counts)
    weights = other.model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in one.model.state_dict().items())


# What a pair of trainings has in common.


@pytest.mark.parametrize("name", ["loss_free", "astrea_calibration", "moduleformer"])
def test_the_same_seed_gives_the_same_training_to_the_last_bit(name):
    torch.manual_seed(1)
    one = train(catalogued(name), TINY, seed=5)
    torch.manual_seed(2)
    assert_same(one, train(catalogued(name), TINY, seed=5))
    assert train(catalogued(name), TINY, seed=6).losses != one.losses


def test_weights_and_batches_are_those_of_every_other_method():
    # What the hooks say is what the trainer does without them: only weights, batches and their order could differ.
    assert_same(train(written(DEFAULTS), TINY, seed=0), train(written(""), TINY, seed=0))


def test_the_first_loss_is_that_of_every_method_with_the_same_gates():
    first = {name: train(catalogued(name), lasting(TINY, 1), seed=0).losses[0] for name in ("none", "switch", "z_loss", "phi")}
    assert len(set(first.values())) == 1
    # Nothing is known at first. Logits of 256 bytes are about standard normal: log 256 + log E[exp] = log 256 + 1/2.
    assert first["none"] == pytest.approx(math.log(256) + 0.5, abs=0.2)


def test_the_guard_changes_nothing():
    assert_same(train(catalogued("deepseek_v3"), TINY, seed=0), train(catalogued("deepseek_v3"), TINY, seed=0, guarded=False))


def test_a_method_is_trained_twice_alike_by_one_object():
    method = catalogued("phi")
    assert_same(train(method, TINY, seed=0), train(method, TINY, seed=0))


# What is reported.


def test_a_training_is_told_of_step_by_step():
    trained = train(catalogued("switch"), lasting(TINY, 6), seed=0)
    assert len(trained.losses) == 6
    assert trained.loads.shape == (6, 2, 4)
    assert (trained.loads.sum(-1) == TINY.tokens * 2).all()
    assert len(trained.checkpoints) == 3
    assert len(trained.gradient_ratio) == 2
    assert min(trained.gradient_ratio) > 0
    assert (trained.spent, trained.dropped) == (pytest.approx(6), 0)
    assert trained.z_norm > 0
    assert trained.cpu_s > 0
    assert trained.final is trained.checkpoints[-1]


def test_gradients_of_both_losses_are_compared_where_both_are_seen():
    assert train(catalogued("none"), TINY, seed=0).gradient_ratio == []
    assert train(catalogued("deepseek_v3"), TINY, seed=0).gradient_ratio == []
    none, one, three = (
        train(written(f"def loss(probability): return {weight} * probability[:, 0].sum()"), lasting(TINY, 2, warmup=0.9), seed=0)
        for weight in (0.0, 1.0, 3.0)
    )
    assert none.gradient_ratio == [0.0]
    # After one step at a hundredth of the learning rate the two are still much alike.
    assert three.gradient_ratio[0] == pytest.approx(3 * one.gradient_ratio[0], rel=0.01)


def test_a_coefficient_of_zero_is_no_loss():
    source = "def schedule(): return {'coefficient': 0.0}\ndef loss(logits): return logits.square().sum()"
    assert_same(train(written(source), TINY, seed=0), train(written(""), TINY, seed=0))


def test_dropped_choices_are_a_share_of_all():
    # With room for one token per expert 4 of 128 choices are left in each layer.
    trained = train(written("def schedule(): return {'capacity': 1e-6}"), TINY, seed=0)
    assert trained.dropped == 124 / 128


def test_dropped_choices_of_experts_that_compute_nothing_are_a_share_of_all_as_well():
    # Eight experts of which one choice each is kept, of all that are made.
    source = "def cost(widths): return widths + [0.0] * 4\ndef select(selection): return selection > -5\n"
    trained = train(written(source + "def schedule(): return {'capacity': 1e-6}"), TINY, seed=0)
    assert trained.dropped == 63 / 64


def test_contributions_are_the_same_in_steps_that_compare_gradients():
    records = "def update(contribution, bias, memory):\n    seen.append(contribution.clone())\n    return bias, memory\n"
    without, with_loss = [], []
    train(written(records, seen=without), lasting(TINY, 6), seed=0)
    train(written(records + "def loss(logits): return 0.0 * logits.sum()", seen=with_loss), lasting(TINY, 6), seed=0)
    assert all(torch.equal(one, other) for one, other in zip(without, with_loss, strict=True))


# What is paid for.

#: Per token of TINY: attention and head 2 (8 16^2 + 2 16 16) + 2 16 256, each expert 4 16 8; two in each of two layers.
OTHERS, EXPERT = 13312, 512
USUAL = OTHERS + 4 * EXPERT


def test_more_experts_than_k_cost_steps():
    trained = train(written("def select(selection): return selection > -1"), lasting(TINY, 10), seed=0)
    each = (OTHERS + 8 * EXPERT) / USUAL
    assert len(trained.losses) == math.ceil(10 / each) == 9
    assert trained.spent == pytest.approx(9 * each)
    assert trained.final.active == 2.0


def test_fewer_experts_than_k_gain_none():
    trained = train(written("def schedule(): return {'k': 1}"), lasting(TINY, 10), seed=0)
    assert len(trained.losses) == 10
    assert trained.spent == pytest.approx(10 * (OTHERS + 2 * EXPERT) / USUAL)
    assert trained.final.active == 0.5


def test_experts_without_computation_cost_nothing():
    source = "def cost(widths): return [*widths, 0.0]\ndef select(selection): return (selection * 0 + torch.arange(5)) > 3"
    trained = train(written(source), TINY, seed=0)
    assert trained.spent == pytest.approx(3 * OTHERS / USUAL)
    assert trained.final.active == 0.0
    assert not trained.loads.any()
    # What such a model does is no balance, but nor is it better than balance.
    assert metrics.max_violation(trained.final.counts) == 0


def test_narrow_experts_cost_their_width():
    size = dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, widths=(1.0, 0.5, 0.25, 0.25)))
    trained = train(written("def select(selection): return selection > -1"), size, seed=0)
    assert trained.final.active == pytest.approx(1.0)
    assert trained.spent == pytest.approx(3.0)


def test_progressive_sparsification_gets_fewer_steps_and_sees_its_schedule_to_the_end():
    trained = train(catalogued("sigma_schedule"), lasting(SMOKE, 30), seed=0)
    assert len(trained.losses) < 30
    assert trained.spent >= 30 - 1e-6
    assert trained.checkpoints[0].active > 1
    assert trained.final.active <= 1


def test_steps_that_were_paid_for_are_what_hooks_are_told():
    told = []
    source = (
        "def schedule(step, steps):\n    told.append((step, steps))\n    return {}\ndef select(selection): return selection > -1"
    )
    trained = train(written(source, told=told), lasting(TINY, 10), seed=0)
    each = (OTHERS + 8 * EXPERT) / USUAL
    # Three of them are for the measurements, after about a third, two thirds, and at the end.
    assert sorted(set(told)) == sorted({(round(step * each), 10) for step in range(9)} | {(10, 10)})
    assert len(told) == 9 + 3
    assert len(trained.losses) == 9


# What balancing is for.


def test_without_balancing_experts_are_overrun_and_with_it_less():
    none, balanced = (metrics_of(train(catalogued(name), SMOKE, seed=0)) for name in ("none", "loss_free"))
    assert none["dead"] > 0 or none["violation"] > 1.5 * balanced["violation"]
    assert balanced["dead"] == 0
    assert none["violation"] > balanced["violation"]
    for found in (none, balanced):
        assert found["last"] < found["first"] - 1


def metrics_of(trained):
    counts = trained.final.counts.sum(0)
    return {
        "dead": metrics.dead_share(counts),
        "violation": metrics.max_violation(counts),
        "first": trained.losses[0],
        "last": trained.final.mean_cross_entropy,
    }


# What goes wrong.


def test_a_training_that_diverges_is_invalid():
    with pytest.raises(Invalid, match="after 1 steps the cross-entropy of held-out text is nan: the training diverged"):
        train(written(""), lasting(TINY, 3, learning_rate=1e30), seed=0)


def test_weights_that_a_model_cannot_bear_are_invalid():
    # The first layer answers infinity, and the second is asked about what is no number.
    with pytest.raises(Invalid, match="weights of gate is not finite"):
        train(written("def gate(gates, mask): return 1e38 * gates * mask"), TINY, seed=0)


def test_weights_that_only_a_finished_model_cannot_bear_are_invalid():
    source = "def gate(gates, mask, training, layer): return gates * mask * (1e38 if layer == 1 and not training else 1.0)"
    with pytest.raises(Invalid, match="the cross-entropy of held-out text is nan"):
        train(written(source), TINY, seed=0)


def test_a_gradient_that_is_too_large_is_invalid():
    with pytest.raises(Invalid, match=r"the training diverged: at step 0 the loss or its gradient is (nan|inf)"):
        train(written("def schedule(): return {'coefficient': 1e6}\ndef loss(logits): return 1e30 * logits.sum()"), TINY, seed=0)


@pytest.mark.parametrize("warn_only", [True, False])
@pytest.mark.parametrize("source", ["", "def gate(gates, mask): return 1e38 * gates * mask"], ids=["ends well", "diverges"])
def test_torch_is_left_as_it_was(source, warn_only):
    threads, rng = torch.get_num_threads(), torch.get_rng_state()
    try:
        torch.set_num_threads(2)
        torch.use_deterministic_algorithms(warn_only, warn_only=warn_only)
        try:
            train(written(source), lasting(TINY, 1), seed=0)
        except Invalid:
            assert source
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled() == warn_only
        assert torch.is_deterministic_algorithms_warn_only_enabled() == warn_only
        assert torch.equal(torch.get_rng_state(), rng)
        assert torch.is_grad_enabled()
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)


# Sweeps and shifts.


def test_a_sweep_multiplies_the_weight_of_the_loss_whoever_gave_it():
    loss = "def loss(load, probability): return (load * probability).sum()"
    given = f"def schedule(): return {{'coefficient': 0.5}}\n{loss}"
    doubled = lasting(TINY, 3, coefficient_factor=2.0)
    assert_same(train(written(loss), doubled, seed=0), train(written(loss), lasting(TINY, 3, coefficient=0.02), seed=0))
    assert_same(train(written(given), doubled, seed=0), train(written(given.replace("0.5", "1.0")), TINY, seed=0))
    assert_same(train(written(given), lasting(TINY, 3, coefficient_factor=0.0), seed=0), train(written(""), TINY, seed=0))


def test_text_shifts_from_one_half_of_the_domains_to_the_other_in_the_middle():
    trained = train(written(""), lasting(TINY, 30, shift=0.9, micro_batches=6, sequences=1), seed=0)
    assert len(trained.domains) == 6
    before, after = (np.concatenate(some) < 3 for some in (trained.mixture[:15], trained.mixture[15:]))
    # 90 draws each, 0.9 and 0.1 of them on average; three standard deviations are 0.095.
    assert before.mean() > 0.8
    assert after.mean() < 0.2
    usual = np.concatenate(train(written(""), lasting(TINY, 6), seed=0).mixture)
    assert np.bincount(usual).tolist() == [2] * 6


def test_violation_is_also_told_of_micro_batches():
    # Expert 3 of four takes every token: 4 times the mean.
    trained = train(written("def select(selection): return (selection * 0 + torch.arange(4)) > 2"), TINY, seed=0)
    assert trained.micro_violation == pytest.approx([3.0] * 3)
