import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.evaluators.moe.fitness import (
    ACTIVE_WEIGHT,
    DEAD_UNIT,
    DEAD_WEIGHT,
    VIOLATION_WEIGHT,
    Point,
    Reference,
    Summary,
    constrained,
    frontier,
    penalty,
    refer_to,
    shinka,
    summarise,
)

# Mean 2.41, standard deviation 0.01.
REFERENCE = Reference({0: 2.40, 1: 2.41, 2: 2.42}, max_violation=0.5, dead=0.0)

shares = st.floats(0, 1)
points = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(lambda pair: Point(*map(float, pair)))
WORST = Point(10.0, 10.0)


def summary(cross_entropy=2.41, max_violation=0.3, dead=0.0, active=1.0, l1=0.2):
    return Summary(cross_entropy, max_violation, dead, active, l1)


def test_within_the_limits_fitness_is_the_gain_in_standard_deviations():
    assert REFERENCE.sigma == pytest.approx(0.01)
    assert constrained(summary(2.40), REFERENCE, 1) == pytest.approx(1.0)
    assert constrained(summary(2.40, max_violation=0.5, active=0.5), REFERENCE, 2) == pytest.approx(2.0)


def test_what_exceeds_a_limit_costs_what_is_worked_out_by_hand():
    # Excess 1 of each: 1 / (1 + 1) of the weight. Excess 3: 9 / 4.
    assert penalty(summary(max_violation=1.0), REFERENCE) == pytest.approx(VIOLATION_WEIGHT / 2)
    assert penalty(summary(max_violation=2.0), REFERENCE) == pytest.approx(VIOLATION_WEIGHT * 9 / 4)
    assert penalty(summary(dead=DEAD_UNIT), REFERENCE) == pytest.approx(DEAD_WEIGHT / 2)
    assert penalty(summary(active=2.0), REFERENCE) == pytest.approx(ACTIVE_WEIGHT / 2)
    both = constrained(summary(2.40, max_violation=1.0, dead=DEAD_UNIT), REFERENCE, 1)
    assert both == pytest.approx(1.0 - VIOLATION_WEIGHT / 2 - DEAD_WEIGHT / 2)


def test_noise_at_a_limit_costs_next_to_nothing():
    assert penalty(summary(max_violation=0.51), REFERENCE) < 0.002


@given(shares, shares, st.floats(0, 3), st.floats(0, 3), st.floats(0.5, 2), st.floats(0.5, 2))
def test_more_of_anything_is_never_better(a, b, c, d, e, f):
    less, more = summary(2.4 + min(a, b)), summary(2.4 + max(a, b))
    assert constrained(more, REFERENCE, 0) <= constrained(less, REFERENCE, 0)
    for name, one, two in (("dead", a, b), ("max_violation", c, d), ("active", e, f)):
        low, high = penalty(summary(**{name: min(one, two)}), REFERENCE), penalty(summary(**{name: max(one, two)}), REFERENCE)
        assert 0 <= low <= high


def test_a_reference_keeps_its_own_limits_and_has_fitness_zero():
    trainings = {4: summary(2.40, 0.2, 0.1), 9: summary(2.43, 0.6, 0.0), 11: summary(2.41, 0.4, 0.05)}
    reference = refer_to(trainings)
    assert (reference.max_violation, reference.dead) == (0.6, 0.1)
    assert [constrained(training, reference, seed) for seed, training in trainings.items()] == [0.0, 0.0, 0.0]


def test_a_seed_that_the_reference_lacks_is_refused():
    with pytest.raises(ValueError, match="no training with seed 7; it has 0, 1, 2"):
        constrained(summary(), REFERENCE, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({0: 2.4}, 0.5), "2 seeds or more"),
        (({0: 2.4, 1: 2.4}, 0.5), "same cross-entropy"),
        (({0: 2.4, 1: 2.5}, 0.0), "max_violation must be > 0"),
        (({0: 2.4, 1: 2.5}, 0.5, 1.5), "dead must lie"),
    ],
)
def test_a_reference_that_measures_nothing_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Reference(*arguments)


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1])
def test_a_training_that_diverged_has_no_summary(value):
    with pytest.raises(ValueError, match="cross_entropy must be a finite number"):
        summary(value)


def test_a_summary_counts_the_choices_of_all_domains_together():
    # Two domains, one layer, four experts; together 4, 4, 8, 0: mean 4.
    measured = SimpleNamespace(counts=np.array([[[4, 0, 4, 0]], [[0, 4, 4, 0]]]), mean_cross_entropy=2.5, active=0.75)
    assert summarise(measured) == Summary(2.5, max_violation=1.0, dead=0.25, active=0.75, l1=0.5)


def test_shinkas_fitness_is_the_sum():
    assert shinka(2.5, 0.25) == -2.75


def test_the_area_of_a_front_is_that_of_its_rectangles():
    # Below (10, 10): 8 x 3 of the first, then 5 x 4 and 1 x 2 that the ones before left.
    assert frontier([Point(2.0, 7.0), Point(5.0, 3.0), Point(9.0, 1.0)], WORST) == 24 + 20 + 2
    assert frontier([], WORST) == 0.0


def test_points_no_better_than_the_worst_add_nothing():
    assert frontier([Point(10.0, 0.0), Point(0.0, 10.0), Point(12.0, 1.0)], WORST) == 0.0


@given(st.lists(points, max_size=6))
def test_the_area_is_that_of_the_unit_squares_that_some_point_dominates(front):
    squares = [(x, y) for x in range(10) for y in range(10) if any(p[0] <= x and p[1] <= y for p in front)]
    assert frontier(front, WORST) == len(squares)


@given(st.lists(points, min_size=1, max_size=6), points, st.randoms(use_true_random=False))
def test_another_point_never_lowers_the_area_and_a_dominated_one_leaves_it(front, other, rng: random.Random):
    area = frontier(front, WORST)
    assert frontier([*front, other], WORST) >= area
    worse = rng.choice(front)
    shuffled = [*front, Point(worse.cross_entropy + 1, worse.imbalance + rng.random())]
    rng.shuffle(shuffled)
    assert frontier(shuffled, WORST) == area


def test_points_that_are_not_finite_have_no_area():
    with pytest.raises(ValueError, match="must be finite"):
        frontier([Point(math.nan, 1.0)], WORST)
