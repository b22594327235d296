import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.progress import Progress, StagnationConfig


def settled(progress, *improved):
    for one in improved:
        progress.settle(improved=one)
    return progress


def test_exploration_is_a_half_after_as_many_steps_as_are_waited_for():
    progress = settled(Progress(StagnationConfig(after=10)), *[False] * 10)
    assert progress.exploration == 0.5
    assert settled(progress, *[False] * 10).exploration == pytest.approx(2 / 3)


def test_an_improvement_ends_exploration_at_once():
    progress = settled(Progress(StagnationConfig(after=4)), *[False] * 9, True)
    assert (progress.since_best, progress.exploration) == (0, 0.0)


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 60))
def test_exploration_rises_with_every_step_without_an_improvement(history, after):
    progress = settled(Progress(StagnationConfig(after=after)), *history)
    before = progress.exploration
    progress.settle(improved=False)
    assert 0 <= before < progress.exploration < 1


def test_a_run_whose_improvements_come_far_apart_is_given_longer():
    progress = Progress(StagnationConfig(after=5))
    settled(progress, *([False] * 29 + [True]) * 3)
    settled(progress, *[False] * 29)
    assert not progress.wants_new_approach(200)
    assert settled(progress, False).wants_new_approach(200)


def test_another_approach_is_asked_for_at_most_once_in_so_many_steps():
    progress = settled(Progress(StagnationConfig(after=3, every=10)), *[False] * 3)
    assert progress.wants_new_approach(5)
    progress.asked(5)
    assert not progress.wants_new_approach(14)
    assert progress.wants_new_approach(15)


def test_zero_never_asks():
    assert not settled(Progress(StagnationConfig(after=0)), *[False] * 500).wants_new_approach(501)


@pytest.mark.parametrize("field", ["after", "protect", "every"])
def test_numbers_out_of_range_are_refused(field):
    with pytest.raises(ValueError, match=f"{field} must be >="):
        StagnationConfig(**{field: -1})
