"""Recognising other frameworks' folders, and what of their settings counts."""

import os

import pytest
from foreign_folders import PROGRAM, openevolve, shinka

from evolve.config import resolve
from evolve.errors import ConfigError, TaskError
from evolve.program import Direction
from evolve.provenance import repeat_command
from evolve.tasks.catalog import find, locate

EVALUATE = "def evaluate(program_path):\n    return {'combined_score': 1.0}\n"


def test_an_openevolve_folder_is_a_task(tmp_path):
    task = find(str(openevolve(tmp_path / "peak", EVALUATE)))
    assert (task.name, task.origin, task.shared_process) == ("peak", "openevolve", True)
    assert (task.objective.metric, task.objective.direction) == ("combined_score", Direction.MAXIMIZE)
    assert task.files == {"initial_program.py": PROGRAM}
    assert task.limits.timeout_s == 300.0


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: openevolve(folder, "from skydiscover.evaluation.evaluation_result import EvaluationResult\n" + EVALUATE),
        lambda folder: openevolve(folder, EVALUATE, config="search: {type: adaevolve}"),
    ],
    ids=["import", "config"],
)
def test_a_skydiscover_folder_is_told_from_an_openevolve_one(tmp_path, make):
    task = find(str(make(tmp_path / "peak")))
    assert (task.origin, task.limits.timeout_s) == ("skydiscover", 360.0)


def test_an_evaluator_in_a_folder_of_its_own_is_skydiscovers_and_runs_without_its_container(tmp_path):
    folder = openevolve(tmp_path / "peak", EVALUATE)
    (folder / "evaluator").mkdir()
    (folder / "evaluator.py").rename(folder / "evaluator" / "evaluator.py")
    (folder / "evaluator" / "Dockerfile").write_text("FROM scratch\n")
    task = find(str(folder))
    assert (task.origin, task.evaluate.evaluator) == ("skydiscover", "evaluator/evaluator.py")


def test_a_shinka_folder_is_a_task_in_any_language(tmp_path):
    assert find(str(shinka(tmp_path / "peak"))).origin == "shinkaevolve"
    text = "// EVOLVE-BLOCK-START\nint main() {}\n// EVOLVE-BLOCK-END\n"
    assert list(find(str(shinka(tmp_path / "cpp", program=text, name="initial.cpp"))).files) == ["initial.cpp"]


def test_of_several_initial_programs_the_python_one_is_taken(tmp_path):
    folder = openevolve(tmp_path / "peak", EVALUATE)
    (folder / "initial_program.cpp").write_text("int main() {}\n")
    assert list(find(str(folder)).files) == ["initial_program.py"]


def test_a_folder_of_both_formats_is_openevolves_and_one_with_a_manifest_is_ours(tmp_path):
    folder = shinka(openevolve(tmp_path / "both", EVALUATE))
    assert find(str(folder)).origin == "openevolve"
    (folder / "task.toml").write_text('name = "ours"\nprogram = ["initial.py"]\n')
    assert find(str(folder)).origin == "folder"


def test_a_folder_that_is_nobodys_task_says_what_it_lacks(tmp_path):
    with pytest.raises(ConfigError, match=r"neither task\.toml, nor initial_program\.\* with evaluator\.py"):
        find(f"{tmp_path}/")
    shinka(tmp_path / "odd", "def evaluate(program):\n    return 1.0\n")
    with pytest.raises(ConfigError, match=r"no task\.toml .*neither imports shinka nor reads --results_dir"):
        find(str(tmp_path / "odd"))
    (tmp_path / "container" / "evaluator").mkdir(parents=True)
    (tmp_path / "container" / "initial_program.py").write_text(PROGRAM)
    with pytest.raises(ConfigError, match="evaluator is a container"):
        find(str(tmp_path / "container"))


CONFIG = """
    max_iterations: 1000
    llm: {primary_model: some-model}
    prompt:
      system_message: |
        Find the peak.
      num_top_programs: 3
    evaluator:
      timeout: 20
      cascade_thresholds: [0.1, 0.2]
      parallel_evaluations: 4
      evaluator_args: {depth: 3}
"""


def test_limits_cascade_arguments_and_message_come_from_the_configuration(tmp_path):
    stages = "def evaluate_stage1(p):\n    return {}\ndef evaluate_stage2(p):\n    return {}\n"
    task = find(str(openevolve(tmp_path / "peak", EVALUATE + stages, config=CONFIG)))
    assert task.background == "Find the peak."
    assert task.limits.timeout_s == 40.0  # 20 s for each of two stages
    assert (task.evaluate.thresholds, task.evaluate.max_stages) == ((0.1, 0.2), 3)
    assert task.evaluate.arguments == {"depth": 3}
    assert task.evaluate.ignored == ("max_iterations", "llm", "prompt.num_top_programs", "evaluator.parallel_evaluations")


def test_a_cascade_that_is_switched_off_or_not_defined_is_none(tmp_path):
    assert find(str(openevolve(tmp_path / "plain", EVALUATE))).evaluate.thresholds is None
    stages = EVALUATE + "def evaluate_stage1(p):\n    return {}\n"
    off = openevolve(tmp_path / "off", stages, config="evaluator: {cascade_evaluation: false}")
    assert find(str(off)).evaluate.thresholds is None


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("evaluator: {timeout: soon}", "evaluator.timeout must be a number, got 'soon'"),
        ("evaluator: {timeout: 0}", "time limit must be > 0"),
        ("evaluator: {cascade_thresholds: 0.5}", "cascade_thresholds must be a list"),
        ("evaluator: [", "config.yaml cannot be read"),
        ("- one", "must hold a table of settings"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_an_error(tmp_path, config, message):
    with pytest.raises(TaskError, match=message):
        find(str(openevolve(tmp_path / "peak", EVALUATE, config=config)))


def test_shinkas_message_and_time_are_read_from_its_script_without_running_it(tmp_path):
    folder = shinka(tmp_path / "peak")
    (folder / "run_evo.py").write_text(
        "raise SystemExit('it ran')\nMESSAGE = 'Find the peak.'\n"
        "evo = EvolutionConfig(task_sys_msg=MESSAGE, num_generations=9)\njob = LocalJobConfig(time='00:01:30')\n"
    )
    task = find(str(folder))
    assert (task.background, task.limits.timeout_s) == ("Find the peak.", 90.0)


def test_shinkas_yaml_comes_before_its_script(tmp_path):
    folder = shinka(tmp_path / "peak")
    (folder / "shinka_small.yaml").write_text(
        "evo_config: {task_sys_msg: Go right., num_generations: 5}\njob_config: {time: '00:00:20'}\n"
    )
    task = find(str(folder))
    assert (task.background, task.limits.timeout_s, task.evaluate.ignored) == ("Go right.", 20.0, ("evo.num_generations",))


def test_the_hash_follows_what_decides_a_score_and_nothing_else(tmp_path):
    folder = openevolve(tmp_path / "peak", EVALUATE)
    first = find(str(folder)).evaluator_sha256
    (folder / "README.md").write_text("words")
    (folder / "run.log").write_text("words")
    (folder / "evolve.db").write_bytes(b"SQLite format 3\x00 and so on")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "evaluator.cpython-311.pyc").write_bytes(b"x")
    (folder / "results_old").mkdir()
    (folder / "results_old" / "metrics.json").write_text("{}")
    (folder / "initial_program.py").write_text(PROGRAM.replace("1.0", "2.0"))
    assert find(str(folder)).evaluator_sha256 == first
    (folder / "table.csv").write_text("1,2\n")
    assert find(str(folder)).evaluator_sha256 != first


def test_a_folder_that_is_too_large_to_be_copied_names_what_to_do(tmp_path, monkeypatch):
    folder = openevolve(tmp_path / "peak", EVALUATE)
    with open(folder / "big.bin", "wb") as file:
        os.truncate(file.fileno(), 65 * 2**20)
    with pytest.raises(TaskError, match="more than 2000 files or 64 MB"):
        find(str(folder))


def test_a_run_finds_its_folder_again_and_can_be_repeated(tmp_path):
    task = find(str(openevolve(tmp_path / "peak", EVALUATE)))
    assert locate(str(task.folder), task.name).evaluator_sha256 == task.evaluator_sha256
    assert str(task.folder) in repeat_command(task, resolve(task))
