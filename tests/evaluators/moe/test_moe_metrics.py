import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evolve.evaluators.moe import metrics

#: Eight choices of four experts, two each on average; loads 1/2, 1/4, 1/8, 1/8.
COUNTS = np.array([4, 2, 1, 1])
EVEN = np.array([2, 2, 2, 2])
NOBODY = np.zeros(4, np.int64)

#: For COUNTS: worked out below. For all tokens on one of four experts: by definition.
WORKED = [
    (metrics.max_violation, 1.0, 3.0),  # (4 - 2) / 2
    (metrics.min_violation, -0.5, -1.0),  # 1 / 2 - 1
    (metrics.average_violation, 0.5, 1.5),  # (1 + 0 + 1/2 + 1/2) / 4;  (3 + 1 + 1 + 1) / 4
    (metrics.l1_imbalance, 0.5, 1.5),  # 1/4 + 0 + 1/8 + 1/8;  3/4 + 3 1/4
    (metrics.variation, math.sqrt(6 / 4) / 2, math.sqrt(3)),  # deviations 2, 0, -1, -1;  with one expert sqrt(E - 1)
    (metrics.load_entropy, 7 / 8, 0.0),  # (1/2 1 + 1/4 2 + 2/8 3) bits of 2
    (metrics.gini, 5 / 16, 3 / 4),  # (-3/8 - 1/8 + 1/4 + 3/2) / 4
    (metrics.dead_share, 0.0, 3 / 4),
]
AT_BALANCE = {metrics.load_entropy: 1.0}


@pytest.mark.parametrize(("metric", "worked", "collapsed"), WORKED, ids=lambda value: getattr(value, "__name__", ""))
def test_numbers_worked_by_hand(metric, worked, collapsed):
    assert metric(COUNTS) == pytest.approx(worked)
    assert metric(np.array([0, 8, 0, 0])) == pytest.approx(collapsed)
    assert metric(EVEN) == pytest.approx(AT_BALANCE.get(metric, 0.0))


@pytest.mark.parametrize("metric", [metric for metric, _, _ in WORKED])
def test_layers_are_averaged(metric):
    assert metric(np.stack([[COUNTS, EVEN]])) == pytest.approx((metric(COUNTS) + metric(EVEN)) / 2)


@pytest.mark.parametrize("metric", [metric for metric, _, _ in WORKED if metric is not metrics.dead_share])
def test_a_layer_that_nobody_used_counts_as_balanced_and_no_better(metric):
    # All its tokens chose experts without computation. A value beyond balance would make up for another layer's imbalance.
    assert metric(NOBODY) == metric(EVEN)


def test_the_experts_of_a_layer_that_nobody_used_are_dead():
    # Or a method would keep all experts alive by having some layers left out.
    assert metrics.dead_share(NOBODY) == 1.0
    assert metrics.dead_share(np.stack([EVEN, NOBODY])) == 0.5


def test_choices_that_are_not_made_are_idle_layer_by_layer():
    assert metrics.idle_share(COUNTS, 8) == 0.0
    assert metrics.idle_share(np.stack([COUNTS, NOBODY, 2 * COUNTS]), 16) == pytest.approx((1 / 2 + 1 + 0) / 3)
    assert metrics.idle_share(3 * COUNTS, 8) == 0.0


def test_an_expert_is_dead_strictly_below_its_share_of_the_mean():
    # 1000 choices, 250 on average: 0.064 250 = 16.
    assert metrics.dead_share(np.array([954, 16, 15, 15])) == 0.5
    assert metrics.dead_share(np.array([953, 16, 16, 15])) == 0.25


def test_devices_hold_neighbouring_experts():
    # Loads 6 and 2; and as four devices, 4 to a mean of 2.
    assert metrics.device_imbalance(COUNTS, 2) == pytest.approx(1.5)
    assert metrics.device_imbalance(COUNTS, 4) == pytest.approx(2.0)
    assert metrics.device_imbalance(COUNTS, 1) == 1.0
    assert metrics.device_imbalance(NOBODY, 2) == 1.0


def test_experts_of_a_domain_each_are_fully_specialised():
    assert metrics.specialisation(np.array([[5, 0], [0, 3]])) == pytest.approx(1.0)
    assert metrics.specialisation(np.array([[5, 2], [10, 4]])) == pytest.approx(0.0)


def test_specialisation_worked_by_hand():
    # The mixture is even, 1 bit; each domain's entropy is that of (3/4, 1/4), 0.811278 bits; in units of log 2 = 1 bit.
    assert metrics.specialisation(np.array([[3, 1], [1, 3]])) == pytest.approx(1 - 0.811278, abs=1e-6)
    # Of two layers, one without any.
    assert metrics.specialisation(np.array([[[3, 1], [1, 1]], [[1, 3], [1, 1]]])) == pytest.approx((1 - 0.811278) / 2, abs=1e-6)


def test_a_spike_is_a_loss_far_above_the_median_of_the_steps_before():
    flat = [1.0] * 20
    assert metrics.spikes([*flat, 1.5, 1.51, 1.0, 5.0]) == 2
    assert metrics.spikes([9.0, *flat[1:], 1.6]) == 1  # the median does not mind the first
    assert metrics.spikes([1.0, 2.0, 3.0], window=2, factor=1.9) == 1  # 3 > 1.9 1.5
    assert metrics.spikes(flat) == 0


def test_shares_of_nothing_are_equal():
    assert metrics.shares(np.array([[0, 0], [1, 3]])).tolist() == [[0.5, 0.5], [0.25, 0.75]]


@given(arrays(np.int64, (2, 3, 5), elements=st.integers(0, 10_000)), st.integers(2, 50))
def test_every_metric_stays_in_its_bounds_and_does_not_mind_scale_or_order(counts, factor):
    bounds = {
        metrics.max_violation: (0, 4),
        metrics.min_violation: (-1, 0),
        metrics.average_violation: (0, 2 * 4 / 5),
        metrics.l1_imbalance: (0, 2 * 4 / 5),
        metrics.variation: (0, 2),
        metrics.load_entropy: (0, 1),
        metrics.gini: (0, 4 / 5),
        metrics.dead_share: (0, 1),
    }
    for metric, (low, high) in bounds.items():
        value = metric(counts)
        # Shares of choices do as well as counts, also where they do not add up to 1.
        assert metric(counts / 60_000) == pytest.approx(value, abs=1e-9)
        assert low - 1e-9 <= value <= high + 1e-9
        assert metric(counts * factor) == pytest.approx(value, abs=1e-9)
        assert metric(counts[..., ::-1]) == pytest.approx(value, abs=1e-9)
    assert -1e-9 <= metrics.specialisation(counts) <= 1 + 1e-9
