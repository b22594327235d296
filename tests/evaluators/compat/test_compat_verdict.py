"""What comes out of the sandbox is checked, whoever wrote it."""

import math

import pytest

from evolve.evaluators.base import Invalid, ProgramFailed
from evolve.evaluators.compat import verdict
from evolve.program import Outcome


def read(metrics, *, mean_instead=True, **more):
    return verdict.read({"metrics": metrics, "artifacts": {}, "failure": None, **more}, "combined_score", mean_instead=mean_instead)


def test_the_combined_score_is_the_objective_and_no_metric():
    score = read({"combined_score": -2, "x": 1.5})
    assert (score.objective, set(score.metrics)) == (-2.0, {"x"})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_invalid(value):
    with pytest.raises(Invalid, match="not a finite number"):
        read({"combined_score": value})


@pytest.mark.parametrize("value", ["9", True, None, [1.0]])
def test_a_score_that_is_no_number_is_invalid(value):
    with pytest.raises(Invalid, match="combined_score must be a number"):
        read({"combined_score": value})


def test_a_metric_that_is_not_finite_becomes_feedback():
    score = read({"combined_score": 1.0, "ratio": math.nan})
    assert (score.metrics, score.feedback) == ({}, "ratio: nan")


@pytest.mark.parametrize("metrics", [{}, {"error": 0.0}, {"error": 0.0, "timeout": True}, {"note": "nothing"}])
def test_what_their_frameworks_score_zero_is_invalid(metrics):
    with pytest.raises(Invalid, match="no numeric metrics"):
        read(metrics)


def test_a_score_of_zero_beside_an_error_does_not_count():
    with pytest.raises(Invalid, match="the evaluator reports an error, and its score of 0 does not count: no such function"):
        read({"combined_score": 0.0, "error": "no such function"})


def test_a_score_beside_an_error_that_is_not_zero_counts():
    assert read({"combined_score": 0.5, "error": "one trial failed"}).feedback == "error: one trial failed"


def test_where_no_mean_is_taken_a_missing_score_is_invalid():
    with pytest.raises(Invalid, match="reports no combined_score"):
        read({"speed": 3.0}, mean_instead=False)


@pytest.mark.parametrize(
    ("blame", "outcome"), [("program", Outcome.CRASHED), ("evaluator", Outcome.EVALUATOR_FAILED)], ids=["program", "evaluator"]
)
def test_a_failure_has_the_outcome_of_whoever_is_to_blame(blame, outcome):
    with pytest.raises(ProgramFailed, match="it broke") as failed:
        read({"combined_score": 3.0}, failure={"blame": blame, "text": "it broke"})
    assert failed.value.outcome is outcome


@pytest.mark.parametrize("failure", [7, {}, {"blame": [], "text": None}, {"blame": "answer", "text": "wrong"}])
def test_any_other_failure_is_invalid(failure):
    with pytest.raises(Invalid):
        read({"combined_score": 3.0}, failure=failure)


@pytest.mark.parametrize("reply", [None, [], "ok", {"metrics": 3}, {"metrics": {1: 2.0}}, {"artifacts": 1}])
def test_a_reply_of_any_shape_is_survived(reply):
    with pytest.raises(Invalid):
        verdict.read(reply, "combined_score", mean_instead=True)


def test_feedback_has_a_bounded_length():
    score = read({"combined_score": 1.0}, artifacts={f"part {i}": "x" * 10_000 for i in range(100)})
    assert len(score.feedback) < 8100
