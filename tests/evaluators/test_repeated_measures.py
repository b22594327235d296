import itertools
import math

import pytest

from evolve.evaluators.base import Score, scored
from evolve.evaluators.statistics import mean, standard_error
from evolve.program import Outcome

HUGE = 1.7e308


def test_the_mean_does_not_depend_on_the_order():
    values = [1e16, 1.0, -1e16, 1.0]
    assert {mean(order) for order in itertools.permutations(values)} == {0.5}


def test_the_mean_of_equal_values_is_that_value():
    assert mean([0.1] * 3) == 0.1


def test_the_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no values"):
        mean([])


def test_the_standard_error_of_three_values():
    # mean 3, squared deviations 4 + 1 + 9 = 14, variance 14 / 2 = 7, of the mean 7 / 3
    assert standard_error([1.0, 2.0, 6.0]) == pytest.approx(math.sqrt(7 / 3), rel=1e-15)


def test_one_value_has_no_standard_error():
    assert standard_error([2.0]) is None
    assert standard_error([]) is None


def test_equal_values_have_no_error():
    assert standard_error([0.1, 0.1, 0.1]) == 0.0
    assert standard_error([0.0, 0.0]) == 0.0


def test_the_largest_and_the_smallest_numbers_there_are_do_not_overflow():
    assert mean([HUGE, HUGE, HUGE]) == HUGE
    assert standard_error([HUGE, -HUGE]) == pytest.approx(HUGE)
    assert standard_error([5e-324, 5e-324]) == 0.0
    assert standard_error([1e-300, 3e-300]) == pytest.approx(1e-300)


def test_the_objective_is_the_mean_of_the_values_unless_it_is_given():
    found = scored(Score(values=[1.0, 2.0, 6.0]))
    assert (found.objective, found.values) == (3.0, (1.0, 2.0, 6.0))
    assert found.standard_error == pytest.approx(math.sqrt(7 / 3))
    assert scored(Score(2.0, values=[1.0, 2.0, 6.0])).objective == 2.0


def test_one_value_is_an_objective_without_a_spread():
    found = scored(Score(values=[4.0]))
    assert (found.objective, found.values, found.standard_error) == (4.0, (), None)


@pytest.mark.parametrize("values", [[1.0, math.nan], [1.0, math.inf], ["1"], [True, 1.0], [1.0, 10**400]])
def test_values_that_are_no_finite_numbers_are_invalid(values):
    found = scored(Score(values=values))
    assert found.outcome is Outcome.INVALID
    assert "value " in found.feedback


def test_a_score_without_any_number_is_the_evaluators_mistake():
    with pytest.raises(ValueError, match="needs an objective, or values"):
        Score()


def test_instances_are_kept_by_name():
    assert scored(Score(1.0, instances={"small": 0.25, 7: 2})).instances == {"small": 0.25, "7": 2.0}


def test_an_instance_that_is_not_finite_is_invalid_and_named():
    found = scored(Score(1.0, instances={"case 3": math.inf}))
    assert found.outcome is Outcome.INVALID
    assert "instance 'case 3'" in found.feedback
