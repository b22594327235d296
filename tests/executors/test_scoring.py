import dataclasses
from pathlib import Path

import pytest

from evolve.errors import ConfigError, TaskError
from evolve.evaluators.base import Invalid, Score
from evolve.evaluators.cascade import Cascade
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.executors import scoring
from evolve.program import Isolation, Limits, Outcome, Task

TASK = Task("t", {"initial.py": ""}, evaluator_sha256="ab")


@pytest.fixture(scope="module")
def server():
    with ForkServer(SandboxSettings("initial.py", Limits(), Isolation.PROCESS)) as server:
        yield server


def score(server, evaluate, artifacts=False, source="def f():\n    return 1"):
    return scoring.score(Cascade(evaluate), TASK, server, {"initial.py": source}, 0, artifacts=artifacts)


def test_an_evaluator_that_never_calls_the_program_still_scores(server):
    evaluation = score(server, lambda program: Score(len(program.files["initial.py"]))).evaluation
    assert evaluation.objective == 21
    assert evaluation.cpu_s == 0.0


def test_an_invalid_answer_keeps_the_evaluators_words(server):
    def evaluate(program):
        raise Invalid("two circles overlap")

    evaluation = score(server, evaluate).evaluation
    assert (evaluation.outcome, evaluation.feedback) == (Outcome.INVALID, "two circles overlap")


def test_a_mistake_of_the_evaluator_shows_its_own_frames_only(server):
    def evaluate(program):
        return {}["missing"]

    evaluation = score(server, evaluate).evaluation
    assert evaluation.outcome is Outcome.EVALUATOR_FAILED
    assert "KeyError: 'missing'" in evaluation.feedback
    assert "test_scoring.py" in evaluation.feedback
    assert "/scoring.py" not in evaluation.feedback


def test_what_an_evaluator_says_is_set_wrong_is_told_without_its_frames(server):
    def evaluate(program):
        raise ConfigError("loads trace.json cannot be read: No such file or directory")

    evaluation = score(server, evaluate).evaluation
    assert evaluation.outcome is Outcome.EVALUATOR_FAILED
    assert evaluation.feedback == ("the task's evaluator cannot work: loads trace.json cannot be read: No such file or directory")


def test_what_is_set_wrong_when_an_evaluator_is_loaded_is_told_without_its_frames(tmp_path):
    (tmp_path / "evaluate.py").write_text(
        "from evolve.errors import ConfigError\nraise ConfigError(\"lab.toml: unknown key 'sise'; did you mean 'size'?\")\n"
    )
    with pytest.raises(TaskError) as error:
        scoring.load_evaluator(dataclasses.replace(TASK, folder=tmp_path, evaluator_sha256="cd"))
    assert str(error.value) == "task t: lab.toml: unknown key 'sise'; did you mean 'size'?"


def test_what_an_evaluator_must_return_is_named(server):
    evaluation = score(server, lambda program: 1.0).evaluation
    assert evaluation.outcome is Outcome.EVALUATOR_FAILED
    assert "must return a Score, or raise Invalid; it returned an object of type float" in evaluation.feedback


def test_a_figure_that_cannot_be_drawn_does_not_cost_the_score(server, caplog):
    def draw(path):
        raise OSError("no ink")

    evaluated = score(server, lambda program: Score(1.0, figure=draw), artifacts=True)
    assert evaluated.evaluation.objective == 1.0
    assert evaluated.figure_png is None
    assert "figure.png could not be written" in caplog.text


def test_feedback_that_cannot_be_encoded_is_mended(server):
    assert score(server, lambda program: Score(1.0, feedback="a\ud800b")).evaluation.feedback == "a?b"


def test_an_evaluator_may_import_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.path", ["/nowhere", *__import__("sys").path])
    (tmp_path / "beside_the_evaluator.py").write_text("SCORE = 3")
    (tmp_path / "evaluate.py").write_text(
        "import beside_the_evaluator\ndef evaluate(program):\n    return beside_the_evaluator.SCORE"
    )
    task = Task("t", {"initial.py": ""}, folder=tmp_path, evaluator_sha256="12ab")
    assert scoring.load_evaluator(task).evaluate(None) == 3


@pytest.mark.parametrize(
    ("source", "reason"),
    [("x = 1", "has no function evaluate"), ("evaluate = 3", "has no function"), ("import sys\nsys.exit()", "SystemExit")],
)
def test_an_evaluator_that_does_not_load_is_the_tasks_fault(tmp_path, source, reason):
    (tmp_path / "evaluate.py").write_text(source)
    with pytest.raises(TaskError, match=reason):
        scoring.load_evaluator(Task("t", {"initial.py": ""}, folder=tmp_path, evaluator_sha256=reason))


def test_a_task_without_an_evaluator_is_refused(tmp_path):
    with pytest.raises(TaskError, match=r"neither a folder"):
        scoring.load_evaluator(TASK)
    with pytest.raises(TaskError, match="does not exist"):
        scoring.load_evaluator(Task("t", {"initial.py": ""}, folder=tmp_path))


def test_figure_and_artifacts_are_files_of_a_score(server):
    def write(path):
        Path(path).write_text(Path(path).name)

    scored = Score(1.0, figure=write, artifacts={"loads.csv": write, "broken.csv": lambda path: 1 / 0})
    evaluated = score(server, lambda program: scored, artifacts=True)
    assert evaluated.files == {"figure.png": b"figure.png", "loads.csv": b"loads.csv"}
    assert score(server, lambda program: scored).files == {}


def test_a_score_that_does_not_count_writes_nothing(server):
    scored = Score(float("nan"), artifacts={"a.txt": lambda path: open(path, "w").close()})
    assert score(server, lambda program: scored, artifacts=True).files == {}
