"""What further evaluations make of the first: worked by hand, and exactly, over every course that chance may take."""

import dataclasses
import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.program import Direction, Evaluation, Objective, Outcome
from evolve.verifying import Verification, pooled

NOISY = Objective(repeats=2)
TOLERANT = Objective(tolerance=2.0)  # any two scores agree
EXACT = Objective()


def scored(*values, **more):
    """An evaluation with the mean of values that are measured, or of a single one."""
    if len(values) == 1:
        return Evaluation(Outcome.OK, values[0], **more)
    return Evaluation(Outcome.OK, sum(values) / len(values), values=values, standard_error=0.5, **more)


def verify(first, further, objective, *, most=4, to_beat=0.0):
    """Takes evaluations from ``further`` while one is due; returns what counts, and how many were made."""
    beats = lambda value: objective.direction.oriented(value) > objective.direction.oriented(to_beat)  # noqa: E731
    verification, left = Verification(first, objective, most=most, beats=beats), list(further)
    while verification.due:
        verification.take(left.pop(0))
    return verification.counts, 1 + len(further) - len(left)


def test_a_program_that_would_not_be_the_best_is_measured_once():
    assert verify(scored(1.0), [], TOLERANT, to_beat=1.0) == (scored(1.0), 1)
    failed = Evaluation(Outcome.CRASHED)
    assert verify(failed, [], TOLERANT) == (failed, 1)
    assert verify(scored(1.0), [], TOLERANT, most=1) == (scored(1.0), 1)


def test_a_score_that_repeats_is_measured_twice_and_has_no_smaller_error():
    counts, made = verify(scored(1.0), [scored(1.0)], TOLERANT)
    assert (counts.objective, counts.values, counts.verified, made) == (1.0, (), True, 2)


def test_a_challenger_that_stays_ahead_is_measured_as_often_as_is_asked():
    counts, made = verify(scored(4.0), [scored(2.0), scored(3.0), scored(7.0)], TOLERANT, to_beat=2.5)
    assert (counts.objective, counts.values, made) == (4.0, (4.0, 2.0, 3.0, 7.0), 4)
    # The standard deviation is sqrt((0 + 4 + 1 + 9) / 3).
    assert counts.standard_error == pytest.approx(math.sqrt(14 / 3) / 2)
    assert counts.verified is True


def test_a_lucky_challenger_is_given_up_as_soon_as_its_mean_falls_back():
    counts, made = verify(scored(4.0), [scored(3.0), scored(0.5)], TOLERANT, to_beat=3.0)
    assert (counts.objective, made) == (2.5, 3)


def test_when_minimising_less_is_better():
    objective = dataclasses.replace(TOLERANT, direction=Direction.MINIMIZE)
    counts, made = verify(scored(1.0), [scored(4.0)], objective, to_beat=2.0)
    assert (counts.objective, made) == (2.5, 2)


def test_repeated_measurements_are_pooled_however_far_they_lie_apart():
    counts, made = verify(scored(1.0, 3.0), [scored(7.0, 9.0)], NOISY, most=2)
    assert (counts.objective, counts.values, counts.verified, made) == (5.0, (1.0, 3.0, 7.0, 9.0), True, 2)


def test_where_no_noise_is_declared_the_worse_score_counts_at_once_and_both_are_on_record():
    for first, second in ((5.0, 2.0), (2.0, 5.0)):
        counts, made = verify(scored(first), [scored(second)], EXACT)
        assert (counts.objective, counts.values, counts.verified, made) == (2.0, (first, second), False, 2)
        assert repr(first) in counts.feedback


def test_scores_beyond_the_tolerance_count_with_the_worse_one_and_end_it():
    objective = Objective(tolerance=0.1)
    counts, made = verify(scored(10.0), [scored(9.5), scored(7.0)], objective)
    assert (counts.objective, counts.verified, made) == (7.0, False, 3)


def test_an_evaluator_that_measures_several_times_itself_agrees_by_its_objective():
    first, second = (Evaluation(Outcome.OK, 1.0, values=values, standard_error=0.1) for values in ((1.0, 2.0), (1.0, 3.0)))
    counts, made = verify(first, [second], EXACT)
    assert (counts.objective, counts.values, counts.verified, made) == (1.0, (1.0, 2.0), True, 2)


def test_a_further_evaluation_that_fails_fails_the_program():
    failed = Evaluation(Outcome.INVALID, feedback="not again")
    counts, made = verify(scored(4.0), [scored(3.0), failed], TOLERANT)
    assert (counts.outcome, counts.objective, counts.verified, made) == (Outcome.INVALID, None, False, 3)
    assert "not again" in counts.feedback


def test_time_is_that_of_all_evaluations():
    counts, _ = verify(scored(4.0, cpu_s=1.0, wall_s=2.0), [scored(4.0, cpu_s=3.0, wall_s=4.0)], TOLERANT)
    assert (counts.cpu_s, counts.wall_s) == (4.0, 6.0)


def test_further_seeds_are_new_ones_where_a_task_is_measured_with_several():
    def seeds(objective):
        verification = Verification(scored(4.0), objective, most=3, beats=lambda _: True)
        found = []
        while verification.due:
            found.append(verification.seed(7))
            verification.take(scored(4.0 + len(found)))
        return found

    assert seeds(TOLERANT) == [7, 7]
    assert len({7, *seeds(NOISY)}) == 3
    assert seeds(NOISY) == seeds(NOISY)


@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_the_pooled_mean_does_not_depend_on_the_order(values, random):
    shuffled = random.sample(values, len(values))
    one, other = (pooled([scored(value) for value in order]) for order in (values, shuffled))
    assert one.objective == other.objective
    assert one.standard_error == pytest.approx(other.standard_error)
    assert sorted(one.values) == sorted(other.values)


@given(
    st.lists(st.integers(-4, 4), min_size=2, max_size=3),
    st.integers(-5, 5),
    st.integers(1, 4),
    st.sampled_from(Direction),
)
def test_a_program_never_gains_by_being_measured_again_in_expectation(values, to_beat, most, direction):
    """What counts in the end, over all courses of equally likely values, some of them more than once, is at most the true mean.

    For a challenger that is no better than the best in truth it is less than what it scored at first.
    """
    objective = Objective(repeats=2, direction=direction)
    courses = list(itertools.product(values, repeat=most))
    truth = Fraction(sum(values), len(values))
    firsts, finals = [], []
    for course in courses:
        first, *further = (scored(float(value)) for value in course)
        counts, made = verify(first, further, objective, most=most, to_beat=float(to_beat))
        assert made <= most
        final = Fraction(sum(course[:made]), made)
        assert counts.objective == pytest.approx(float(final))
        firsts.append(course[0])
        finals.append(Fraction(counts.objective))
    oriented = direction.oriented
    slack = Fraction(1, 10**9)
    assert oriented(Fraction(sum(finals), len(finals)) - truth) <= slack
    if oriented(truth) <= oriented(to_beat):
        challenged = [i for i, first in enumerate(firsts) if oriented(first) > oriented(to_beat)]
        assert oriented(sum(finals[i] - firsts[i] for i in challenged)) <= slack
