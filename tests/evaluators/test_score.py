from fractions import Fraction

import numpy as np
import pytest

from evolve.evaluators.base import Score, scored
from evolve.program import Direction, Metric, Outcome


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2), Fraction(2)])
def test_any_real_number_is_an_objective(value):
    evaluation = scored(Score(value, {"half": value / 2}))
    assert evaluation.objective == 2.0
    assert type(evaluation.objective) is float
    assert evaluation.metrics == {"half": Metric(1.0)}


def test_a_metric_keeps_its_direction():
    evaluation = scored(Score(1.0, {"seconds": Metric(2.0, Direction.MINIMIZE)}))
    assert evaluation.metrics == {"seconds": Metric(2.0, Direction.MINIMIZE)}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "nan, not a finite"),
        (float("inf"), "inf, not a finite"),
        (True, "must be a number, got bool"),
        ("1", "must be a number, got str"),
        (np.zeros(1), "must be a number, got ndarray"),
        (1j, "must be a number, got complex"),
        (10**400, "too large"),
    ],
)
def test_what_is_no_finite_number_is_invalid(value, words):
    evaluation = scored(Score(value))
    assert evaluation.outcome is Outcome.INVALID
    assert evaluation.objective is None
    assert words in evaluation.feedback


def test_the_metric_at_fault_is_named():
    assert scored(Score(1.0, {"speed": float("nan")})).feedback.startswith("metric 'speed' is nan")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b.csv", "/a.csv", "figure.png"])
def test_an_artifact_needs_a_plain_file_name(name):
    with pytest.raises(ValueError, match="an artifact needs a file name without a folder"):
        Score(1.0, artifacts={name: print})
