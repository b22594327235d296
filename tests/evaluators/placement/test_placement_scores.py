import math

import pytest

from evolve.evaluators.placement.scores import adrs_leaderboard, openevolve, skydiscover, speed


@pytest.mark.parametrize(
    ("balancedness", "seconds", "score"),
    [
        (0.66, 0.0005, 90 * 0.66 + 10),  # four times as fast as 2 ms counts as twice
        (0.66, 0.001, 90 * 0.66 + 10),
        (0.66, 0.004, 90 * 0.66 + 2.5),
        (0.66, 0.010, 90 * 0.66 + 1),  # not yet slow
        (0.66, 0.020, 90 * 0.66 + 0.5 - 0.4),
        (0.66, 0.540, 90 * 0.66 + 5 * 0.002 / 0.540 - 10.8),
        (0.66, 4.0, 90 * 0.66 + 0.0025 - 20),
    ],
)
def test_the_leaderboards_score(balancedness, seconds, score):
    assert adrs_leaderboard(balancedness, seconds) == pytest.approx(score)


def test_the_scores_of_openevolve_and_skydiscover():
    assert openevolve(0.66, 0.04) == pytest.approx((0.66 + 0.5) / 2)
    assert skydiscover(0.25, 0.04) == pytest.approx((0.25 + 0.05) / 2)


def test_speed_is_relative_to_a_reference_and_at_most_one():
    assert speed(0.2, 0.1) == 0.5
    assert speed(0.1, 0.1) == speed(0.001, 0.1) == 1.0


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("score", [adrs_leaderboard, openevolve, skydiscover, speed])
def test_a_time_that_is_none_is_refused(score, seconds):
    with pytest.raises(ValueError, match="seconds must be positive and finite"):
        score(0.5 if score is not speed else seconds, seconds if score is not speed else 1.0)
    if score is speed:
        with pytest.raises(ValueError, match="reference_s must be positive and finite"):
            score(1.0, seconds)
