"""Other frameworks' task folders, scored for real inside the sandbox."""

import dataclasses
import os

import pytest
from foreign_folders import PROGRAM, SHINKA, openevolve, shinka

from evolve.errors import TaskError
from evolve.evaluators.compat.shared import ENTRY
from evolve.evaluators.sandbox import available_levels
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.executors import scoring
from evolve.program import Limits, Outcome
from evolve.tasks.catalog import find

LIMITS = Limits(timeout_s=5.0, wall_timeout_s=60.0, memory_mb=500, max_processes=20)
LEVELS = [report.level for report in available_levels() if report.available]
PARABOLA = """
    def evaluate(program_path):
        x = load(program_path).where()
        return {"combined_score": -((x - 3.0) ** 2), "x": x}
"""


@pytest.fixture(scope="module", params=LEVELS)
def every_server(request, tmp_path_factory):
    with ForkServer(SandboxSettings(ENTRY, LIMITS, request.param, (tmp_path_factory.getbasetemp(),))) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ForkServer(SandboxSettings(ENTRY, LIMITS, LEVELS[-1], (tmp_path_factory.getbasetemp(),))) as server:
        yield server


def score(server, folder, source=None):
    task = find(str(folder))
    files = task.files if source is None else {next(iter(task.files)): source}
    return scoring.score(scoring.load_evaluator(task), task, server, files, 0, artifacts=False).evaluation


def test_an_openevolve_folder_scores_at_every_level_and_bears_the_mark(every_server, tmp_path):
    evaluation = score(every_server, openevolve(tmp_path / "peak", PARABOLA))
    assert (evaluation.outcome, evaluation.objective) == (Outcome.OK, -4.0)
    assert {name: metric.value for name, metric in evaluation.metrics.items()} == {"x": 1.0}
    assert evaluation.shared_process is True


def test_a_shinka_folder_scores_at_every_level_and_keeps_private_metrics_to_itself(every_server, tmp_path):
    evaluation = score(every_server, shinka(tmp_path / "peak"))
    assert (evaluation.outcome, evaluation.objective) == (Outcome.OK, -4.0)
    assert {name: metric.value for name, metric in evaluation.metrics.items()} == {"x": 1.0, "runs": 2.0}
    assert "the peak is further right" in evaluation.feedback
    assert "secret" not in f"{evaluation.feedback} {evaluation.metrics}"


@pytest.mark.parametrize("package", ["openevolve.evaluation_result", "skydiscover.evaluation.evaluation_result"])
def test_an_evaluation_result_brings_artifacts_into_the_feedback(server, tmp_path, package):
    evaluator = f"""
        from {package} import EvaluationResult
        def evaluate(program_path):
            artifacts = {{"log": "x" * 5000, "picture": bytes([255, 254, 0]), "note": "short"}}
            return EvaluationResult({{"combined_score": 2.0}}, artifacts)
    """
    evaluation = score(server, openevolve(tmp_path / "peak", evaluator))
    assert evaluation.objective == 2.0
    assert "note: short" in evaluation.feedback
    assert "picture: (3 bytes)" in evaluation.feedback
    assert "… (5000 characters)" in evaluation.feedback
    assert len(evaluation.feedback) < 2500


CASCADE = """
    def evaluate(program_path):
        raise AssertionError("stages are asked for")
    def evaluate_stage1(program_path):
        return {"combined_score": load(program_path).where(), "first": 1.0}
    def evaluate_stage2(program_path):
        return {"combined_score": 7.0, "second": 1.0}
    def evaluate_stage3(program_path):
        raise ValueError("third")
"""


def test_a_cascade_stops_below_its_threshold(server, tmp_path):
    config = "evaluator: {cascade_thresholds: [1.5, 9.0]}"
    evaluation = score(server, openevolve(tmp_path / "stages", CASCADE, config=config))
    assert evaluation.objective == 1.0
    assert set(evaluation.metrics) == {"first"}
    assert "cascade: stopped after stage 1" in evaluation.feedback


def test_a_cascade_merges_the_stages_that_ran(server, tmp_path):
    config = "evaluator: {cascade_thresholds: [0.5, 9.0]}"
    evaluation = score(server, openevolve(tmp_path / "stages", CASCADE, config=config))
    assert evaluation.objective == 7.0
    assert set(evaluation.metrics) == {"first", "second"}


def test_a_later_stage_that_raises_keeps_the_earlier_ones(server, tmp_path):
    config = "evaluator: {cascade_thresholds: [0.5, 0.5]}"
    evaluation = score(server, openevolve(tmp_path / "stages", CASCADE, config=config))
    assert (evaluation.objective, evaluation.metrics["stage3_passed"].value) == (7.0, 0.0)
    assert "ValueError: third" in evaluation.feedback


def test_without_a_combined_score_the_mean_of_the_numbers_counts_and_is_named(server, tmp_path):
    evaluator = 'def evaluate(program_path):\n    return {"speed": 1.0, "size": 4, "done": True, "note": "fine"}\n'
    evaluation = score(server, openevolve(tmp_path / "mean", evaluator))
    assert evaluation.objective == 2.5
    assert evaluation.feedback.splitlines()[0] == "objective: the mean of size, speed (there is no combined_score)"
    assert "note: fine" in evaluation.feedback


def test_a_program_that_raises_has_crashed_and_its_line_is_shown(server, tmp_path):
    evaluation = score(server, openevolve(tmp_path / "peak", PARABOLA), "def where():\n    return 1 / 0\n")
    assert evaluation.outcome is Outcome.CRASHED
    assert "program/initial_program.py" in evaluation.feedback
    assert "ZeroDivisionError" in evaluation.feedback
    assert "_evolve_inside" not in evaluation.feedback


def test_an_evaluator_that_raises_over_an_answer_makes_it_invalid(server, tmp_path):
    evaluation = score(server, openevolve(tmp_path / "peak", PARABOLA), "def where():\n    return None\n")
    assert evaluation.outcome is Outcome.INVALID
    assert "TypeError" in evaluation.feedback


def test_an_evaluator_that_cannot_be_imported_has_failed_and_the_package_is_named(server, tmp_path):
    folder = openevolve(tmp_path / "peak", "import surely_not_installed\ndef evaluate(program_path):\n    return {}\n")
    evaluation = score(server, folder)
    assert evaluation.outcome is Outcome.EVALUATOR_FAILED
    assert "package 'surely_not_installed' is not installed" in evaluation.feedback


def test_a_program_that_waits_forever_times_out(tmp_path):
    task = find(str(openevolve(tmp_path / "peak", PARABOLA)))
    limits = dataclasses.replace(LIMITS, timeout_s=0.3)
    with ForkServer(SandboxSettings(ENTRY, limits, LEVELS[-1])) as server:
        files = {"initial_program.py": "def where():\n    while True: pass\n"}
        evaluation = scoring.score(scoring.load_evaluator(task), task, server, files, 0, artifacts=False).evaluation
    assert evaluation.outcome is Outcome.TIMED_OUT


def test_siblings_data_and_the_initial_program_lie_beside_the_evaluator(server, tmp_path):
    evaluator = """
        import os
        import helper
        def evaluate(program_path):
            here = os.path.dirname(os.path.abspath(__file__))
            table = open(os.path.join(here, "data", "table.bin"), "rb").read()
            baseline = load(os.path.join(here, "initial_program.py")).where()
            return {"combined_score": load(program_path).where() - baseline + helper.ONE + len(table)}
    """
    folder = openevolve(tmp_path / "data_task", evaluator)
    (folder / "helper.py").write_text("ONE = 1\n")
    (folder / "data").mkdir()
    (folder / "data" / "table.bin").write_bytes(bytes(range(256)))
    assert score(server, folder, "def where():\n    return 2.0\n").objective == 258.0


def test_python_processes_of_an_evaluator_find_the_packages_even_with_a_scrubbed_environment(server, tmp_path):
    evaluator = """
        import subprocess, sys
        def evaluate(program_path):
            text = "import numpy, openevolve.evaluation_result; print(numpy.sum([1, 2]))"
            said = subprocess.run([sys.executable, "-c", text], env={}, capture_output=True, text=True)
            return {"combined_score": float(said.stdout or 0), "stderr": said.stderr}
    """
    evaluation = score(server, openevolve(tmp_path / "starts", evaluator))
    assert evaluation.objective == 3.0, evaluation.feedback


def test_a_shinka_result_that_is_not_correct_is_invalid_with_its_reason(server, tmp_path):
    evaluation = score(server, shinka(tmp_path / "peak"), "def where():\n    return 99.0\n")
    assert evaluation.outcome is Outcome.INVALID
    assert "Validation failed: outside" in evaluation.feedback


def test_a_shinka_program_that_raises_has_crashed(server, tmp_path):
    evaluation = score(server, shinka(tmp_path / "peak"), "def where():\n    raise KeyError('peak')\n")
    assert evaluation.outcome is Outcome.CRASHED
    assert "KeyError: 'peak'" in evaluation.feedback


def test_a_shinka_score_that_is_missing_is_invalid_and_never_zero(server, tmp_path):
    evaluator = SHINKA.replace('"combined_score": -((x - 3.0) ** 2),', "")
    evaluation = score(server, shinka(tmp_path / "peak", evaluator))
    assert (evaluation.outcome, evaluation.objective) == (Outcome.INVALID, None)
    assert "reports no combined_score" in evaluation.feedback


def test_a_program_in_another_language_is_run_by_its_own_evaluator(server, tmp_path):
    evaluator = """
        import json, subprocess, sys
        program, results_dir = sys.argv[2], sys.argv[4]
        said = subprocess.run(["sh", program], capture_output=True, text=True).stdout
        json.dump({"correct": True, "error": None}, open(f"{results_dir}/correct.json", "w"))
        json.dump({"combined_score": float(said)}, open(f"{results_dir}/metrics.json", "w"))
        sys.exit(3)  # which means nothing
    """
    folder = shinka(tmp_path / "shell", evaluator, program="# EVOLVE-BLOCK-START\necho 12\n# EVOLVE-BLOCK-END\n", name="initial.sh")
    assert score(server, folder).objective == 12.0


FORGING = """
import sys
_report = sys.modules["_evolve_inside.report"]
_report.plain_metrics = lambda metrics: {"combined_score": 1e9}
def where():
    return 1.0
"""


def test_a_forged_score_bears_the_mark(server, tmp_path):
    evaluation = score(server, openevolve(tmp_path / "peak", PARABOLA), FORGING)
    assert (evaluation.objective, evaluation.shared_process) == (1e9, True)


def test_a_forger_reaches_neither_the_tasks_folder_nor_the_next_evaluation(server, tmp_path):
    folder = openevolve(tmp_path / "peak", PARABOLA)
    before = (folder / "evaluator.py").read_bytes()
    vandal = (
        FORGING
        + f"""
import os
for path in ({str(folder / "evaluator.py")!r}, {str(folder / "initial_program.py")!r}, os.path.abspath("evaluator.py")):
    try:
        open(path, "w").write("def evaluate(program_path): return {{'combined_score': 5e9}}")
    except OSError:
        pass
"""
    )
    if server.settings.isolation.rank:
        score(server, folder, vandal)
        assert (folder / "evaluator.py").read_bytes() == before
    else:
        score(server, folder, FORGING)
    assert score(server, folder).objective == -4.0


def test_no_variable_of_the_users_environment_is_inside(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    evaluator = 'import os\ndef evaluate(program_path):\n    return {"combined_score": 1.0, "keys": " ".join(os.environ)}\n'
    with ForkServer(SandboxSettings(ENTRY, LIMITS, LEVELS[-1])) as server:
        evaluation = score(server, openevolve(tmp_path / "peak", evaluator))
    assert os.environ["OPENAI_API_KEY"] == "sk-secret"
    assert "OPENAI" not in evaluation.feedback


def test_a_program_that_exits_after_it_forged_the_result_files_has_crashed(server, tmp_path):
    source = """
import json, os, sys
results = sys.argv[4]
json.dump({"correct": True, "error": None}, open(f"{results}/correct.json", "w"))
json.dump({"combined_score": 1e9}, open(f"{results}/metrics.json", "w"))
EXIT
"""
    folder = shinka(tmp_path / "peak")
    assert score(server, folder, source.replace("EXIT", "os._exit(0)")).outcome is Outcome.CRASHED
    assert score(server, folder, source.replace("EXIT", "sys.exit(0)")).outcome is Outcome.CRASHED


OWN = """
from evolve.evaluators import Direction, Invalid, Metric, Score
def evaluate(program):
    answer = program.call("where")
    if not isinstance(answer, float):
        raise Invalid(f"where() returned {answer!r}")
    same = program.module.where() == answer
    return Score(answer, {"same": float(same), "cost": Metric(2.0, Direction.MINIMIZE)}, feedback=str(sorted(program.files)))
"""


def own(folder, evaluator=OWN):
    folder.mkdir()
    (folder / "task.toml").write_text('name = "own"\nprogram = ["initial.py"]\nshared_process = true\n')
    (folder / "initial.py").write_text(PROGRAM)
    (folder / "evaluate.py").write_text(evaluator)
    return folder


def test_our_own_tasks_can_share_the_process_and_bear_the_mark(server, tmp_path):
    evaluation = score(server, own(tmp_path / "own"))
    assert (evaluation.objective, evaluation.shared_process, evaluation.feedback) == (1.0, True, "['initial.py']")
    assert evaluation.metrics["cost"].direction == "minimize"
    invalid = score(server, tmp_path / "own", "def where():\n    return 'here'\n")
    assert (invalid.outcome, invalid.feedback) == (Outcome.INVALID, "where() returned 'here'")


def test_instances_and_repeated_values_of_our_own_come_through(server, tmp_path):
    evaluator = """
from evolve.evaluators import Score
def evaluate(program):
    return Score(instances={"a": 1.0, "b": 3}, values=[program.call("where"), 2.0])
"""
    evaluation = score(server, own(tmp_path / "own", evaluator))
    assert (evaluation.objective, evaluation.values, evaluation.instances) == (1.5, (1.0, 2.0), {"a": 1.0, "b": 3.0})


def test_a_lent_function_is_handed_over_in_the_shared_process(server, tmp_path):
    evaluator = """
from evolve.evaluators import Score
def evaluate(program):
    return Score(program.call("ask", callbacks={"query": lambda x: 2.0 * x}))
"""
    assert score(server, own(tmp_path / "own", evaluator), "def ask(query):\n    return query(4.0)\n").objective == 8.0


@pytest.mark.parametrize("name", ["smoke", "holdout"])
def test_a_stage_that_a_shared_process_cannot_keep_apart_is_refused(tmp_path, name):
    with pytest.raises(TaskError, match=f"evaluate.py defines {name}, which does not run where shared_process = true"):
        find(str(own(tmp_path / "own", OWN + f"\ndef {name}(program):\n    return None\n")))


def test_an_engine_of_this_package_is_not_inside_and_the_message_says_so(server, tmp_path):
    evaluator = "from evolve.evaluators.packing import check_packing\ndef evaluate(program):\n    return None\n"
    evaluation = score(server, own(tmp_path / "own", evaluator))
    assert evaluation.outcome is Outcome.EVALUATOR_FAILED
    assert "evolve.evaluators.packing cannot be had inside the sandbox" in evaluation.feedback
