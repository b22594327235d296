import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evolve.archive.pareto import covered, covering, crowding_distances, wins

INF = np.inf
VALUES = st.sampled_from([-INF, -1e300, -1.0, 0.0, 1e-300, 0.5, 3.0, 1e300])


def test_what_is_at_most_or_at_least_as_good_everywhere():
    rows = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 1.0], [2.0, -INF]])
    assert covered(rows, np.array([2.0, 2.0])).tolist() == [True, True, False, True]
    assert covering(rows, np.array([2.0, 1.0])).tolist() == [False, True, True, False]


def test_crowding_distances_add_up_the_sides_of_the_box_between_neighbours():
    rows = np.array([[0.0, 10.0], [1.0, 8.0], [4.0, 5.0], [10.0, 0.0]])
    # The second spans (4 - 0) / 10 and (10 - 5) / 10, the third (10 - 1) / 10 and (8 - 0) / 10.
    assert np.allclose(crowding_distances(rows), [INF, 0.9, 1.7, INF])


def test_an_axis_on_which_all_are_equal_makes_nobody_lonely():
    rows = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]])
    assert crowding_distances(rows).tolist() == [INF, 1.0, INF]
    assert crowding_distances(np.full((4, 2), 7.0)).tolist() == [0.0] * 4


def test_a_missing_value_counts_as_the_smallest():
    rows = np.array([[0.0, -INF], [1.0, 2.0], [2.0, 1.0], [3.0, 3.0]])
    # On the second axis the order is 1 (missing), 1, 2, 3; the third program lies between the two ends there.
    assert np.allclose(crowding_distances(rows), [INF, 2 / 3 + 1, 2 / 3 + 1 / 2, INF])


def test_wins_count_the_axes_on_which_a_row_is_among_the_best():
    rows = np.array([[1.0, 5.0, -INF, 2.0], [1.0, 4.0, -INF, 3.0], [0.0, 5.0, -INF, 1.0]])
    assert wins(rows).tolist() == [2, 2, 1]


@settings(deadline=None)
@given(arrays(float, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=VALUES))
def test_distances_of_any_numbers_are_numbers(rows):
    distances = crowding_distances(rows)
    assert distances.shape == (len(rows),)
    assert (distances >= 0).all()
