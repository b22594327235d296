import dataclasses

import pytest
from baselines_kit import measured, plan
from hypothesis import given
from hypothesis import strategies as st

from evolve.baselines.journal import Journal
from evolve.baselines.results import in_short, read_results, student_mean
from evolve.program import Outcome


def results(made, values):
    measured(made, values)
    with Journal(made.folder, made.task) as journal:
        return read_results(made, journal)


def test_means_and_differences_agree_with_what_is_worked_out_by_hand(tmp_path):
    one, two, _ = results(plan(tmp_path), {"one": [1.0, 2.0, 3.0], "two": [2.0, 4.0, 3.0], "bad": [None] * 3}).rows
    # t(0.975, 2 degrees of freedom) = 4.30265
    assert (one.objective.value, one.objective.interval.high) == pytest.approx((2.0, 2.0 + 4.30265 / 3**0.5), abs=1e-4)
    assert one.metrics["size"].value == 4.0
    assert one.difference is None
    assert two.difference.mean.value == pytest.approx(1.0)
    assert two.difference.mean.interval.low == pytest.approx(1.0 - 4.30265 / 3**0.5, abs=1e-4)
    # Of the 8 ways to sign 1, 2 and 0, four have a sum as far from 0.
    assert (two.difference.p, two.difference.adjusted) == (0.5, 0.5)
    assert two.seconds == 0.5


def test_a_baseline_that_failed_once_has_no_mean_and_no_difference(tmp_path):
    found = results(plan(tmp_path), {"one": [1.0] * 3, "two": [2.0, None, 2.0], "bad": [None] * 3})
    two, bad = found.rows[1:]
    assert (two.outcome, two.failed, two.objective, two.difference) == (Outcome.CRASHED, 1, None, None)
    assert (two.values, dict(two.metrics)) == ((2.0, None, 2.0), {})
    assert two.feedback == "an exception in answer: KeyError: 'gone'"
    assert bad.failed == 3


def test_where_the_reference_failed_there_are_no_differences(tmp_path):
    found = results(plan(tmp_path, reference="bad"), {"one": [1.0] * 3, "two": [2.0] * 3, "bad": [None] * 3})
    assert [row.difference for row in found.rows] == [None] * 3


def test_all_tests_are_corrected_together(tmp_path):
    made = plan(tmp_path, range(6))
    found = results(made, {"one": [0.0] * 6, "two": [1.0] * 6, "bad": [2.0] * 6})
    assert [row.difference.p for row in found.rows[1:]] == [2 / 64] * 2
    assert [row.difference.adjusted for row in found.rows[1:]] == [4 / 64] * 2


def test_the_task_chooses_columns_and_the_objective_goes_by_its_name(tmp_path):
    found = results(plan(tmp_path, [0]), {"one": [1.0], "two": [2.0], "bad": [None]})
    assert found.columns == ("size",)
    assert found.mean_of(found.rows[0], "score").value == 1.0
    assert found.mean_of(found.rows[0], "size").value == 2.0
    assert found.mean_of(found.rows[0], "other") is None
    table = dataclasses.replace(found.task.baselines_table, metrics=("other",))
    chosen = dataclasses.replace(found, task=dataclasses.replace(found.task, baselines_table=table))
    assert chosen.columns == ("other",)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8))
def test_an_interval_holds_its_mean_and_is_finite(values):
    found = student_mean(values)
    assert min(values) <= found.value <= max(values)
    assert (found.interval is None) or found.interval.low <= found.value <= found.interval.high < float("inf")
    assert len(values) > 1 or found.interval is None


@pytest.mark.parametrize(
    ("feedback", "short"),
    [("", ""), ("one\ntwo", "one"), ("in f:\n  a\nKeyError: 1\n", "in f: KeyError: 1"), ("alone:", "alone:")],
)
def test_a_feedback_in_short_says_what_was_raised(feedback, short):
    assert in_short(feedback) == short
