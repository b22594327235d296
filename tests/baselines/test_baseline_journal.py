import dataclasses

import pytest
from baselines_kit import an_evaluation, measured, plan
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evolve.baselines.journal import NAME, Journal, Measurement
from evolve.errors import ConfigError


def reopened(made):
    with Journal(made.folder, made.task) as journal:
        return [journal.find(program, seed) for program in made.selection.programs for seed in made.seeds]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.floats(-1e300, 1e300), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_measurement_comes_back_as_it_was(tmp_path, objective, words):
    made = plan(tmp_path, [7], only=["one"])
    evaluation = dataclasses.replace(an_evaluation(made, objective), feedback=words)
    written = Measurement("one", made.selection.programs[0].source_sha256, 7, evaluation, words, ("a.txt",))
    with Journal(made.folder, made.task) as journal:
        journal.write(written)
        assert journal.find(made.selection.programs[0], 7) == written
    assert reopened(made) == [written]


def test_a_line_that_was_cut_short_costs_no_other(tmp_path):
    made = plan(tmp_path, [0, 1], only=["one"])
    measured(made, {"one": [1.0, 2.0]})
    path = made.folder / NAME
    path.write_bytes(path.read_bytes()[:-20])
    first, second = reopened(made)
    assert first.evaluation.objective == 1.0
    assert second is None
    measured(dataclasses.replace(made, seeds=[1]), {"one": [3.0]})
    assert [known.evaluation.objective for known in reopened(made)] == [1.0, 3.0]


def test_the_latest_measurement_counts(tmp_path):
    made = plan(tmp_path, [0], only=["one"])
    measured(made, {"one": [None]})
    measured(made, {"one": [2.0]})
    assert reopened(made)[0].evaluation.objective == 2.0


def test_what_another_evaluator_measured_does_not_count_and_is_told(tmp_path):
    made = plan(tmp_path, [0], only=["one"])
    measured(made, {"one": [1.0]}, evaluator_sha256="f" * 64)
    assert reopened(made) == [None]
    with Journal(made.folder, made.task) as journal:
        (words,) = journal.left_out(made.selection.programs)
    assert f"1 measurements by another evaluator (ffffffffffff; today's is {made.task.evaluator_sha256[:12]})" in words


def test_what_was_measured_of_another_source_does_not_count_and_is_told(tmp_path):
    made = plan(tmp_path, [0], only=["one"])
    measured(made, {"one": [1.0]})
    (tmp_path / "task" / "baselines" / "one.py").write_text("def answer():\n    return 9.0\n")
    changed = plan(tmp_path, [0], only=["one"])
    assert changed.task.evaluator_sha256 == made.task.evaluator_sha256
    assert reopened(changed) == [None]
    with Journal(changed.folder, changed.task) as journal:
        assert journal.left_out(changed.selection.programs) == ["1 measurements of one do not count: its source was another"]


def test_measurements_of_another_task_are_refused(tmp_path):
    made = plan(tmp_path, [0], only=["one"])
    measured(made, {"one": [1.0]})
    with pytest.raises(ConfigError, match="holds measurements of task noisy, not of other; give another --output"):
        Journal(made.folder, dataclasses.replace(made.task, name="other"))


def test_two_do_not_write_to_one_journal(tmp_path):
    made = plan(tmp_path)
    with Journal(made.folder, made.task), pytest.raises(ConfigError, match="being written by another process"):
        Journal(made.folder, made.task)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        Journal(tmp_path / "file", made.task)
