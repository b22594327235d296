"""The bundled tasks in other languages and of several files, and the folders that `evolve task new` writes for them."""

import asyncio

import pytest

from evolve.checks import check_task
from evolve.config import resolve
from evolve.evaluators import tools
from evolve.evaluators.sandbox import available_levels
from evolve.executors.local import LocalExecutor
from evolve.program import Outcome
from evolve.tasks.base import load
from evolve.tasks.catalog import find
from evolve.tasks.scaffold import write

LEVELS = [report.level for report in available_levels() if report.available]
ENTRIES = {"python": "initial.py", "cpp": "main.cpp", "javascript": "initial.js"}


def skipped_without(task):
    lacking = tools.missing(tools.needed(task))
    if lacking:
        pytest.skip(f"{' and '.join(lacking)} is not installed")
    return task


def evaluate(task, files=None, level=None):
    async def run():
        async with LocalExecutor(task, isolation=level, evaluator_grace_s=120.0) as executor:
            return (await executor.evaluate(files or task.files, seed=0)).evaluation

    return asyncio.run(run())


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("name", "objective"), [("lossless_compression", 31830), ("cache_eviction", 3295), ("vehicle_routing", 46595)]
)
def test_initial_programs_score_what_their_readmes_say_at_every_level(name, objective, level):
    task = skipped_without(find(name))
    evaluation = evaluate(task, level=level)
    assert evaluation.outcome is Outcome.OK, evaluation.feedback
    assert evaluation.objective == objective
    assert str(objective) in (task.folder / "README.md").read_text().replace(" ", "")


def test_every_attack_on_disk_is_listed():
    for name in ("lossless_compression", "cache_eviction", "vehicle_routing"):
        task = find(name)
        on_disk = {f"attacks/{path.name}" for path in (task.folder / "attacks").iterdir()}
        assert on_disk == {attack.path for attack in task.attacks}


def test_a_compressor_that_does_not_build_is_told_why():
    task = skipped_without(find("lossless_compression"))
    evaluation = evaluate(task, {"main.cpp": task.files["main.cpp"].replace("int CHAIN = 1", "int CHAIN = one")})
    assert evaluation.outcome is Outcome.CRASHED
    assert "does not build" in evaluation.feedback
    assert "was not declared" in evaluation.feedback


def test_a_reference_that_fails_is_the_tasks_fault(tmp_path):
    folder = write("t", tmp_path, "javascript")
    text = (folder / "evaluate.py").read_text()
    start = "    lines = program.execute("
    assert start in text
    (folder / "evaluate.py").write_text(text.replace(start, f"    program.sibling({{'initial.js': 'x('}}).execute()\n{start}"))
    evaluation = evaluate(skipped_without(load(folder, "folder")))
    assert evaluation.outcome is Outcome.EVALUATOR_FAILED
    assert "a sibling of the program failed" in evaluation.feedback
    assert "SyntaxError" in evaluation.feedback


@pytest.mark.parametrize("language", sorted(ENTRIES))
def test_a_new_task_in_each_language_passes_its_checks(tmp_path, language):
    folder = write("mine", tmp_path, language)
    assert (folder / ENTRIES[language]).is_file()
    task = skipped_without(load(folder, "folder"))
    checks = asyncio.run(check_task(task, resolve(task, options={"workers": 1})))
    assert [check for check in checks if not check.ok] == []


def test_local_arms_improve_a_program_in_cpp_and_the_run_repeats(cli):
    skipped_without(find("lossless_compression"))
    cli("task", "new", "mine", "--language", "cpp")
    ran = cli("run", "./mine", "--steps", 15, "--json").json
    assert ran["best"]["objective"] > ran["initial"]["objective"]
    assert set(ran["arms"]) == {"local/literals", "local/recombine"}
    assert cli("replay", "--json").json["differences"] == []
    assert "main.cpp" in cli("diff", "initial", "best").out


def test_a_missing_tool_is_one_clear_message(cli, tmp_path):
    folder = write("mine", tmp_path, "cpp")
    manifest = (folder / "task.toml").read_text().replace('"g++"', '"no-such-compiler"')
    (folder / "task.toml").write_text(manifest)
    answer = cli("run", "./mine", "--steps", 2, status=1)
    assert "task mine needs no-such-compiler, not found on this machine" in answer.err
    assert "Traceback" not in answer.err
    checks = cli("task", "check", "./mine", "--json", status=1).json
    assert "needs no-such-compiler" in checks["checks"][-1]["detail"]


def test_doctor_names_the_tools_that_tasks_need(cli):
    found = {finding["what"]: finding for finding in cli("doctor", "--json").json}
    assert "needed by lossless_compression" in found["g++"]["detail"]
    assert "needed by cache_eviction" in found["node"]["detail"]
    assert found["g++"]["ok"] == (not tools.missing(["g++"]))
