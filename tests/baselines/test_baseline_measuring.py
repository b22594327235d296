import os

import pytest
from baselines_kit import plan

from evolve.baselines.journal import Journal
from evolve.baselines.measuring import measure


def carry_out(made):
    told = []
    with Journal(made.folder, made.task) as journal:
        measure(made, journal, lambda each, done, total: told.append((each.baseline, each.seed, done, total)))
        known = {(p.name, seed): journal.find(p, seed) for p in made.selection.programs for seed in made.seeds}
    return told, known


def test_every_baseline_is_measured_once_with_every_seed_seed_by_seed(tmp_path):
    told, known = carry_out(plan(tmp_path, [4, 5]))
    assert [each[:2] for each in told] == [(name, seed) for seed in (4, 5) for name in ("one", "two", "bad")]
    assert [each[2:] for each in told] == [(k, 6) for k in range(1, 7)]
    gaps = [known["two", seed].evaluation.objective - known["one", seed].evaluation.objective for seed in (4, 5)]
    assert gaps == pytest.approx([1.0, 1.0])
    assert known["one", 4].evaluation.objective != known["one", 5].evaluation.objective
    assert {each.evaluation.stage for each in known.values()} == {"paired"}
    assert "core" in known["one", 4].machine
    assert known["bad", 4].evaluation.outcome == "crashed"


def test_only_what_is_missing_is_measured(tmp_path):
    carry_out(plan(tmp_path, [0], only=["one"]))
    told, _ = carry_out(plan(tmp_path, [0, 1], only=["one", "two"]))
    assert told == [("two", 0, 2, 4), ("one", 1, 3, 4), ("two", 1, 4, 4)]
    assert carry_out(plan(tmp_path, [0, 1], only=["one", "two"]))[0] == []


def test_a_task_without_paired_is_measured_by_evaluate_once_a_seed(tmp_path):
    made = plan(tmp_path, [0], only=["one"])
    evaluate = tmp_path / "task" / "evaluate.py"
    evaluate.write_text(evaluate.read_text().replace("def paired(", "def other("))
    _, known = carry_out(plan(tmp_path, [0], only=["one"]))
    evaluation = known["one", 0].evaluation
    assert (evaluation.objective, evaluation.stage, evaluation.values) == (1.0, "evaluate", ())
    assert made.task.objective.repeats == 3


def test_an_evaluator_that_failed_is_asked_again(tmp_path):
    made = plan(tmp_path, [0], only=["one"])
    evaluate = tmp_path / "task" / "evaluate.py"
    flag = tmp_path / "flag"
    text = evaluate.read_text().replace(
        "def paired(program, seed):", f"def paired(program, seed):\n    open({str(flag)!r}).close()"
    )
    evaluate.write_text(text)
    made = plan(tmp_path, [0], only=["one"])
    assert carry_out(made)[1]["one", 0].evaluation.outcome == "evaluator_failed"
    flag.touch()
    assert carry_out(made)[1]["one", 0].evaluation.ok
    os.unlink(flag)
    assert carry_out(made)[0] == []


def test_artifacts_of_the_first_seed_are_written_where_they_are_asked_for(tmp_path):
    carry_out(plan(tmp_path, [3, 4]))
    made = plan(tmp_path, [3, 4], artifacts=True)
    told, known = carry_out(made)
    assert [each[:2] for each in told] == [("one", 3), ("two", 3), ("bad", 3)]
    assert (made.folder / "one" / "note.txt").read_text() == "noted"
    assert known["one", 3].artifacts == ("note.txt",)
    assert (known["bad", 3].artifacts, known["one", 4].artifacts) == ((), None)
    assert not (made.folder / "bad").exists()
    (made.folder / "one" / "note.txt").unlink()
    assert [each[:2] for each in carry_out(made)[0]] == [("one", 3)]


def test_copies_of_a_baseline_are_measured_once(tmp_path):
    plan(tmp_path)
    text = (tmp_path / "task" / "baselines" / "one.py").read_text()
    (tmp_path / "task" / "baselines" / "two.py").write_text(text)
    told, known = carry_out(plan(tmp_path, [0], only=["one", "two"]))
    assert told == [("one", 0, 2, 2)]
    assert known["one", 0] == known["two", 0]
