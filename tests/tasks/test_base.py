import math
import os
import subprocess
import sys

import pytest

from evolve.errors import TaskError
from evolve.program import Build, Direction, Limits, Objective
from evolve.tasks.base import inline, load, load_unfinished
from evolve.tasks.scaffold import write

MANIFEST = """
name = "t"
program = ["initial.py"]
[objective]
direction = "minimize"
[limits]
timeout_s = 3
[prompt]
background = "b.md"
[run]
steps = 7
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "task.toml").write_text(MANIFEST)
    (tmp_path / "initial.py").write_text("# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n")
    (tmp_path / "evaluate.py").write_text("from evolve.evaluators import Score\ndef evaluate(program): return Score(1.0)\n")
    (tmp_path / "b.md").write_text("Background.")
    return tmp_path


def refused(folder, match):
    with pytest.raises(TaskError, match=match):
        load(folder, "folder")


def test_a_task_may_bring_templates_of_its_own(folder):
    assert load(folder, "folder").prompts is None
    edit(folder, "task.toml", "[prompt]", '[prompt]\ntemplates = "prompts"')
    refused(folder, r"task t: \[prompt\] templates = 'prompts' is no folder inside the task's folder")
    (folder / "prompts").mkdir()
    assert load(folder, "folder").prompts == folder.resolve() / "prompts"
    edit(folder, "task.toml", '"prompts"', '"../prompts"')
    refused(folder, "is no folder inside")


def test_a_task_can_be_read_before_its_program_is_there(folder):
    whole = load(folder, "folder")
    (folder / "initial.py").unlink()
    task, missing = load_unfinished(folder, "folder")
    assert (missing, dict(task.files)) == (("initial.py",), {"initial.py": ""})
    assert task.evaluator_sha256 == whole.evaluator_sha256
    assert task.background == "Background."
    refused(folder, "evolve task draft .* --arm SPEC")


def test_of_an_unfinished_program_only_what_is_missing_is_forgiven(folder):
    edit(folder, "task.toml", '["initial.py"]', '["initial.py", "lib/more.py"]')
    assert load_unfinished(folder, "folder").missing == ("lib/more.py",)
    (folder / "initial.py").write_text("def f(:\n")
    with pytest.raises(TaskError, match="does not parse"):
        load_unfinished(folder, "folder")
    edit(folder, "task.toml", '"initial.py"', '"../initial.py"')
    with pytest.raises(TaskError, match="must lie inside"):
        load_unfinished(folder, "folder")


def edit(folder, name, before, after):
    text = (folder / name).read_text()
    assert before in text
    (folder / name).write_text(text.replace(before, after))


def test_a_folder_becomes_a_task(folder):
    task = load(folder, "folder")
    assert (task.name, task.origin, task.background, task.run) == ("t", "folder", "Background.", {"steps": 7})
    assert task.objective == Objective(direction=Direction.MINIMIZE)
    assert task.limits == Limits(timeout_s=3.0)
    assert list(task.files) == ["initial.py"]
    assert len(task.evaluator_sha256) == 64


@pytest.mark.parametrize(
    ("before", "after", "match"),
    [
        ("[limits]\ntimeout_s", "[limits]\ntime_out_s", r"\[?limits.*unknown key 'time_out_s'; did you mean 'timeout_s'\?"),
        ("[limits]", "[limit]", r"unknown key 'limit'; did you mean 'limits'\?"),
        ("timeout_s = 3", 'timeout_s = "3"', r"timeout_s must be a number, got '3'"),
        ("timeout_s = 3", "timeout_s = 0", r"limits\.timeout_s must be > 0, got 0"),
        ('"minimize"', '"down"', r"direction must be one of maximize, minimize; got 'down'"),
        ('name = "t"\n', "", r"key 'name' is missing"),
        ('["initial.py"]', '["other.py"]', r"task\.toml names 'other\.py', which does not exist"),
        ('["initial.py"]', '["../x.py"]', r"'\.\./x\.py' must lie inside the task's folder"),
        ('["initial.py"]', "[]", r"names no file"),
        ("[run]", "[run", r"not valid TOML"),
    ],
)
def test_a_mistake_in_the_manifest_is_named_with_its_remedy(folder, before, after, match):
    edit(folder, "task.toml", before, after)
    refused(folder, match)


def test_a_missing_evaluator_is_named(folder):
    (folder / "evaluate.py").unlink()
    refused(folder, r"evaluate\.py is missing")


def test_an_initial_program_that_does_not_parse_is_named_with_its_line(folder):
    edit(folder, "initial.py", "x = 1", "x = = 1")
    refused(folder, r"does not parse: initial\.py: .*line 2")


def test_unbalanced_markers_are_named_with_file_and_line(folder):
    edit(folder, "initial.py", "# EVOLVE-BLOCK-END\n", "")
    refused(folder, r"initial\.py.*1")


def test_a_program_in_which_nothing_may_change_is_refused(folder):
    edit(folder, "initial.py", "x = 1\n", "")
    refused(folder, "nothing may change")


def test_the_evaluators_hash_follows_what_decides_a_score_and_nothing_else(folder):
    before = load(folder, "folder").evaluator_sha256
    (folder / "README.md").write_text("text for people")
    edit(folder, "initial.py", "x = 1", "x = 2")
    edit(folder, "task.toml", "steps = 7", "steps = 9")
    (folder / "evolve.db").write_text("an archive")
    (folder / "result").mkdir()
    (folder / "result" / "provenance.json").write_text("{}")
    (folder / "result" / "initial.py").write_text("x = 3")
    assert load(folder, "folder").evaluator_sha256 == before
    edit(folder, "evaluate.py", "1.0", "2.0")
    assert load(folder, "folder").evaluator_sha256 != before


def test_a_task_may_name_resources_of_a_cluster(folder):
    edit(folder, "task.toml", "[run]", "[resources]\noven = 1\nlicence = 0.5\n[run]")
    assert dict(load(folder, "folder").resources) == {"oven": 1, "licence": 0.5}


def test_resources_decide_no_score(folder):
    before = load(folder, "folder").evaluator_sha256
    edit(folder, "task.toml", "[run]", "[resources]\noven = 1\n[run]")
    assert load(folder, "folder").evaluator_sha256 == before


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("oven = 0", r"resources\.oven must be > 0, got 0"),
        ("oven = -1.5", r"resources\.oven must be > 0"),
        ("oven = nan", r"resources\.oven must be > 0, got nan"),
        ("CPU = 2", r"resources\.CPU: say it as limits\.cpus"),
        ("gpu = 1", r"resources\.gpu: say it as limits\.gpus"),
        ("memory = 1024", r"resources\.memory: say it as limits\.memory_mb"),
        ('oven = "hot"', r"resources\.oven"),
    ],
)
def test_mistakes_in_resources_are_named(folder, line, match):
    edit(folder, "task.toml", "[run]", f"[resources]\n{line}\n[run]")
    refused(folder, match)


@pytest.mark.parametrize(("old", "new"), [('"minimize"', '"maximize"'), ("timeout_s = 3", "timeout_s = 4")])
def test_direction_and_limits_are_part_of_what_decides_a_score(folder, old, new):
    before = load(folder, "folder").evaluator_sha256
    edit(folder, "task.toml", old, new)
    assert load(folder, "folder").evaluator_sha256 != before


def test_declared_data_are_part_of_the_evaluator_and_must_be_there(folder):
    edit(folder, "task.toml", 'name = "t"', 'name = "t"\ndata = ["*.csv"]')
    refused(folder, "matches no file")
    (folder / "data.csv").write_text("1,2")
    before = load(folder, "folder").evaluator_sha256
    (folder / "data.csv").write_text("1,3")
    assert load(folder, "folder").evaluator_sha256 != before


def test_the_evaluators_hash_covers_the_engine_that_it_imports(folder, monkeypatch):
    edit(folder, "evaluate.py", "from evolve.evaluators import Score", "from evolve.evaluators.packing import check_packing")
    before = load(folder, "folder").evaluator_sha256
    edit(folder, "evaluate.py", "from evolve.evaluators.packing import check_packing", "from evolve.evaluators.base import Score")
    assert load(folder, "folder").evaluator_sha256 != before


def test_an_inline_task_needs_source_that_parses():
    assert inline("t", "x = 1\n", lambda program: None).files == {"initial.py": "x = 1\n"}
    with pytest.raises(TaskError, match="does not parse"):
        inline("t", "x = = 1\n", lambda program: None)


def test_inline_tasks_are_told_apart_by_their_scoring_function():
    one = inline("t", "x = 1\n", lambda program: 1)
    assert one.evaluator_sha256 == inline("t", "x = 1\n", lambda program: 1).evaluator_sha256
    assert one.evaluator_sha256 != inline("t", "x = 1\n", lambda program: 2).evaluator_sha256
    sine, cosine = (inline("t", "x = 1\n", f) for f in (lambda p: math.sin(p) + 1, lambda p: math.cos(p) + 1))
    assert sine.evaluator_sha256 != cosine.evaluator_sha256
    squares, sizes = (inline("t", "x = 1\n", f) for f in (lambda p: [x * x for x in p], lambda p: [abs(x) for x in p]))
    assert squares.evaluator_sha256 != sizes.evaluator_sha256


def test_an_inline_tasks_hash_is_the_same_in_every_process():
    code = (
        "from evolve.tasks.base import inline\nprint(inline('t', 'x = 1', lambda p: p in {'a', 'bc', 'd', 'efg'}).evaluator_sha256)"
    )
    found = set()
    for seed in ("1", "2", "3"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        found.add(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout)
    assert len(found) == 1


def test_a_new_task_loads_as_written(tmp_path):
    assert load(write("my_task", tmp_path), "folder").name == "my_task"


EXECUTED = '[build]\ncommand = ["cc", "-o", "p", "initial.py"]\nmemory_mb = 99\n[run]\ncommand = ["./p", "-v"]\nsteps = 7\n'


def test_how_programs_are_built_and_run_is_the_tasks_and_the_rest_of_run_is_a_runs(folder):
    before = load(folder, "folder").evaluator_sha256
    edit(folder, "task.toml", "[run]\nsteps = 7\n", EXECUTED)
    task = load(folder, "folder")
    assert task.build == Build(("cc", "-o", "p", "initial.py"), memory_mb=99)
    assert (task.command, task.run) == (("./p", "-v"), {"steps": 7})
    assert task.evaluator_sha256 != before
    hashes = {task.evaluator_sha256}
    for old, new in (('"-v"', '"-w"'), ('"cc"', '"gcc"')):
        edit(folder, "task.toml", old, new)
        hashes.add(load(folder, "folder").evaluator_sha256)
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("after", "match"),
    [
        ('[build]\ncommand = ["cc"]\n', r"\[build\] makes something that nothing runs; add \[run\] command"),
        ("[build]\ncommand = []\n[run]\ncommand = ['p']\n", r"build\.command names nothing"),
        ('[build]\ncommand = "cc main.c"\n', "command must be a list"),
        ('[build]\ncomand = ["cc"]\n', "unknown key 'comand'; did you mean 'command'"),
        ("[run]\ncommand = 'p'\n", r"\[run\]: command must be a list"),
        ("[run]\ncommand = [1]\n", r"command\[0\] must be a text"),
    ],
)
def test_mistakes_in_build_and_command_are_named(folder, after, match):
    edit(folder, "task.toml", "[run]\nsteps = 7\n", after)
    refused(folder, match)


def test_a_program_in_another_language_need_not_be_python(folder):
    edit(folder, "task.toml", '["initial.py"]', '["main.cpp"]')
    (folder / "main.cpp").write_text("// EVOLVE-BLOCK-START\nint x = 1;\n// EVOLVE-BLOCK-END\n")
    assert list(load(folder, "folder").files) == ["main.cpp"]


BASELINE = '[[baselines]]\nname = "one"\npath = "baselines/one.py"\n'


def test_baselines_are_no_part_of_the_evaluator(folder):
    before = load(folder, "folder")
    edit(folder, "task.toml", "[run]", BASELINE + "[run]")
    (folder / "baselines").mkdir()
    (folder / "baselines" / "one.py").write_text("x = 2\n")
    task = load(folder, "folder")
    assert [baseline.name for baseline in task.baselines] == ["one"]
    assert task.evaluator_sha256 == before.evaluator_sha256


def test_two_baselines_of_one_name_are_refused(folder):
    edit(folder, "task.toml", "[run]", BASELINE + BASELINE + "[run]")
    refused(folder, "every one needs a name of its own, and one is there more than once")


def test_an_evaluators_own_time_decides_no_score(folder):
    before = load(folder, "folder").evaluator_sha256
    edit(folder, "task.toml", "timeout_s = 3", "timeout_s = 3\nevaluator_timeout_s = 600")
    task = load(folder, "folder")
    assert (task.limits.evaluator_timeout_s, task.evaluator_sha256) == (600.0, before)
    edit(folder, "task.toml", "evaluator_timeout_s = 600", "evaluator_timeout_s = 0")
    refused(folder, "limits.evaluator_timeout_s must be > 0")


def test_a_paired_measurement_counts_as_part_of_an_inline_evaluator():
    plain = inline("t", "x = 1\n", lambda program: 1)
    paired = inline("t", "x = 1\n", lambda program: 1, paired=lambda program, seed: seed)
    assert paired.paired is not None
    assert paired.evaluator_sha256 != plain.evaluator_sha256
