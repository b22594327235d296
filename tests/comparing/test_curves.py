import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.archive.trajectory import ProgressPoint
from evolve.comparing.curves import Axis, areas, make_curve
from evolve.program import Direction

objectives = st.lists(st.none() | st.floats(-1e300, 1e300), max_size=12)
directions = st.sampled_from(Direction)


def curve_of(initial, later, direction=Direction.MAXIMIZE, usd=0.5, seconds=2.0):
    points = [ProgressPoint(0, "p0", initial, 0.0, 1.0)]
    points += [
        ProgressPoint(step, f"p{step}", objective, usd * step, 1.0 + seconds * step) for step, objective in enumerate(later, 1)
    ]
    return make_curve(points, direction)


@given(st.floats(-1e300, 1e300), objectives, directions)
def test_a_curve_never_gets_worse_and_never_misses_the_best(initial, later, direction):
    curve = curve_of(initial, later, direction)
    oriented = [direction.oriented(value) for value in curve.best]
    assert oriented == sorted(oriented)
    scored = [initial, *(value for value in later if value is not None)]
    assert oriented[-1] == max(direction.oriented(value) for value in scored)


@given(st.lists(st.tuples(st.floats(-1e300, 1e300), objectives), min_size=1, max_size=4), directions, st.integers(1, 15))
def test_areas_lie_between_0_and_1(runs, direction, budget):
    found = areas([curve_of(initial, later, direction) for initial, later in runs], Axis.STEPS, budget, direction)
    assert ((found >= 0) & (found <= 1)).all()


def test_a_curve_is_read_at_any_budget_and_goes_on_as_it_ended():
    curve = curve_of(1.0, [None, 3.0, 2.0, 5.0])
    assert curve.on_grid(Axis.STEPS, np.array([0, 1, 2, 3, 3.9, 4, 9])).tolist() == [1, 1, 3, 3, 3, 5, 5]
    assert curve.on_grid(Axis.USD, np.array([0.0, 0.99, 1.0, 2.0])).tolist() == [1, 1, 3, 5]
    # The initial program is there from the start, though to score it took a second.
    assert curve.on_grid(Axis.SECONDS, np.array([0.0, 4.9, 5.0, 9.0])).tolist() == [1, 1, 3, 5]
    assert curve.programs == ("p0", "p0", "p2", "p2", "p4")


def test_among_equals_the_earlier_program_stays_the_best():
    assert curve_of(1.0, [2.0, 2.0]).programs == ("p0", "p1", "p1")


def test_areas_agree_with_what_is_worked_out_by_hand():
    # From 0 to 10 over 4 steps. The first has 0, 5, 5, 10 and then 10 at the very end; the second never gains.
    curves = [curve_of(0.0, [5.0, None, 10.0, None]), curve_of(0.0, [None, -3.0, None, None])]
    assert areas(curves, Axis.STEPS, 4, Direction.MAXIMIZE).tolist() == [(0 + 5 + 5 + 10) / 40, 0.0]


def test_areas_do_not_depend_on_scale_or_direction():
    up = [curve_of(0.0, [5.0, 7.0]), curve_of(1.0, [1.0, 10.0])]
    down = [
        curve_of(100.0, [95.0, 93.0], Direction.MINIMIZE),
        curve_of(99.0, [99.0, 90.0], Direction.MINIMIZE),
    ]
    expected = areas(up, Axis.STEPS, 2, Direction.MAXIMIZE)
    assert areas(down, Axis.STEPS, 2, Direction.MINIMIZE) == pytest.approx(expected)


def test_where_nothing_is_gained_all_areas_are_0():
    assert areas([curve_of(2.0, [1.0]), curve_of(2.0, [])], Axis.STEPS, 1, Direction.MAXIMIZE).tolist() == [0.0, 0.0]


def test_what_comes_after_the_budget_does_not_count():
    curves = [curve_of(0.0, [1.0, 100.0])]
    assert areas(curves, Axis.STEPS, 2, Direction.MAXIMIZE).tolist() == [0.005]
    assert areas(curves, Axis.STEPS, 1.5, Direction.MAXIMIZE).tolist() == pytest.approx([1 / 3])


def test_a_run_whose_initial_program_has_not_scored_has_no_curve():
    with pytest.raises(ValueError, match="initial program"):
        make_curve([], Direction.MAXIMIZE)
