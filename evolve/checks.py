"""Checks a task: what its author wants to know before anybody spends a budget on it."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from evolve.config import RunConfig, make_executor
from evolve.errors import TaskError
from evolve.executors.base import Executor
from evolve.program import Evaluation, Files, Outcome, Task

#: What the initial program is scored with, twice with the first to see whether it repeats.
_SEEDS = (0, 0, 1)

_FORGED = """\
import json, os, sys
print(json.dumps({"score": 1e9, "objective": 1e9, "combined_score": 1e9, "correct": True}))
for name in ("metrics.json", "results.json", "correct.json"):
    with open(name, "w") as file:
        file.write('{"combined_score": 1e9, "score": 1e9, "correct": true}')
sys.stdout.flush()
os._exit(0)
"""
_FORGED_CPP = """\
#include <fstream>
#include <iostream>
int main() {
  const char* result = "{\\"combined_score\\": 1e9, \\"score\\": 1e9, \\"correct\\": true}";
  for (const char* name : {"metrics.json", "results.json", "correct.json"}) std::ofstream(name) << result;
  std::cout << result << std::endl;
}
"""
_FORGED_JAVASCRIPT = """\
const result = '{"combined_score": 1e9, "score": 1e9, "correct": true}';
for (const name of ["metrics.json", "results.json", "correct.json"]) require("fs").writeFileSync(name, result);
console.log(result);
"""
_FORGED_BY_ENDING = {
    **dict.fromkeys((".cpp", ".cc", ".cxx"), _FORGED_CPP),
    **dict.fromkeys((".js", ".cjs"), _FORGED_JAVASCRIPT),
}


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        check: What was checked.
        ok: Whether it holds.
        detail: What was seen.
    """

    check: str
    ok: bool
    detail: str


async def check_task(task: Task, config: RunConfig) -> list[Check]:
    """Runs every check on a task.

    Args:
        task: Loaded, so its manifest and its initial program's syntax are in order.
        config: Executor and isolation level to use.

    Returns:
        The checks in order; they end early when the initial program does not score.
    """
    checks = [Check("manifest", True, f"{len(task.files)} file(s), {task.objective.direction} {task.objective.metric}")]
    try:
        async with make_executor(task, config) as executor:
            checks.append(Check("evaluator loads", True, f"isolation {executor.isolation}"))
            checks += [check async for check in _run_checks(task, executor)]
    except TaskError as error:
        checks.append(Check("evaluator loads", False, str(error)))
    return checks


async def _run_checks(task: Task, executor: Executor) -> AsyncIterator[Check]:
    evaluations = [(await executor.evaluate(task.files, seed=seed)).evaluation for seed in _SEEDS]
    first = evaluations[0]
    yield Check("initial program scores", first.ok, _described(first))
    if not first.ok or first.objective is None:
        return
    yield _repeats(evaluations)
    share = first.cpu_s / task.limits.timeout_s
    detail = f"{first.cpu_s:.2f} of {task.limits.timeout_s:g} CPU s, {first.wall_s:.2f} s in all"
    yield Check("time to spare", share <= 0.5, detail)
    nothing = (await executor.evaluate(do_nothing(task.files), seed=0)).evaluation
    yield _no_gain(task, "a program that does nothing does not win", nothing, first.objective)
    entry = next(iter(task.files))
    forgery = _FORGED_BY_ENDING.get(PurePosixPath(entry).suffix, _FORGED)
    forged = (await executor.evaluate({**task.files, entry: forgery}, seed=0)).evaluation
    yield _no_score("a program that prints and writes a score and exits", forged)
    for attack in task.attacks:
        if task.folder is None:
            continue
        try:
            text = (task.folder / attack.path).read_text(encoding="utf-8")
        except OSError as error:
            yield Check(f"attack: {attack.about}", False, f"{attack.path} cannot be read: {error.strerror}")
            continue
        found = (await executor.evaluate({**task.files, next(iter(task.files)): text}, seed=0)).evaluation
        title = f"attack: {attack.about}"
        yield _no_score(title, found) if attack.ceiling is None else _no_gain(task, title, found, attack.ceiling)


def _repeats(evaluations: list[Evaluation]) -> Check:
    same_seed = evaluations[0].objective == evaluations[1].objective
    detail = "same objective with the same seed" + (
        ", and with another" if same_seed and evaluations[1].objective == evaluations[2].objective else ""
    )
    if not same_seed:
        detail = f"{evaluations[0].objective!r}, then {evaluations[1].objective!r} with the same seed: the score is noisy"
    return Check("score repeats", same_seed, detail)


def _no_score(title: str, found: Evaluation) -> Check:
    return Check(title, not found.ok, _described(found))


def _no_gain(task: Task, title: str, found: Evaluation, ceiling: float) -> Check:
    """Holds when a program did not score above what it deserves."""
    oriented = task.objective.direction.oriented
    wins = found.objective is not None and oriented(found.objective) > oriented(ceiling)
    return Check(title, not wins, f"{_described(found)} (ceiling {ceiling:.17g})")


def _described(evaluation: Evaluation) -> str:
    if evaluation.outcome is Outcome.OK:
        return f"ok, objective {evaluation.objective:.10g}"
    lines = evaluation.feedback.strip().splitlines()
    return f"{evaluation.outcome}: {lines[-1] if lines else 'no feedback'}"


def do_nothing(files: Files) -> Files:
    """Returns the source with the body of every top-level Python function replaced by ``return None``."""
    return {path: _emptied(text) if path.endswith(".py") else "" for path, text in files.items()}


def _emptied(text: str) -> str:
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Return(ast.Constant(None))]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"
