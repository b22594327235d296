import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.bandits import PercentileReward


def test_no_improvement_earns_nothing():
    reward = PercentileReward(10)
    assert [reward.of(value) for value in (None, 0.0, -1.0)] == [0.0, 0.0, 0.0]


def test_an_improvement_earns_its_rank_among_the_latest():
    reward = PercentileReward(3)
    # Windows: 4 | 4 2 | 4 2 3 | 2 3 1 | 3 1 9
    assert [reward.of(value) for value in (4.0, 2.0, 3.0, 1.0, 9.0)] == pytest.approx([1, 1 / 2, 2 / 3, 1 / 3, 1])


def test_equal_improvements_earn_the_same():
    reward = PercentileReward(10)
    assert [reward.of(0.1) for _ in range(4)] == [1.0] * 4


@given(st.lists(st.floats(1e-6, 1e6), max_size=40), st.integers(1, 10), st.integers(-10, 10))
def test_rewards_do_not_depend_on_the_scale(improvements, window, power):
    plain, scaled = PercentileReward(window), PercentileReward(window)
    assert [plain.of(value) for value in improvements] == [scaled.of(value * 2.0**power) for value in improvements]


@given(st.lists(st.floats(-1, 1), max_size=60), st.integers(1, 8))
def test_rewards_agree_with_a_slow_obvious_version(improvements, window):
    reward, seen = PercentileReward(window), []
    for value in improvements:
        expected = 0.0
        if value > 0:
            seen = [*seen, value][-window:]
            expected = sum(other <= value for other in seen) / len(seen)
        assert reward.of(value) == expected
