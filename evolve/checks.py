"""Checks a task: what its author wants to know before anybody spends a budget on it."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from evolve.config import RunConfig, make_executor
from evolve.errors import ConfigError, TaskError
from evolve.evaluators.compat import SharedEvaluator
from evolve.evaluators.compat.forging import FORGERIES
from evolve.executors.base import Executor
from evolve.program import Evaluation, Files, Objective, Outcome, Task
from evolve.prompts.templates import Templates
from evolve.verifying import agree

#: What the initial program is scored with, twice with the first to see whether it repeats.
_SEEDS = (0, 0, 1)
_PAIRED_SEEDS = (0, 0)

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
    if isinstance(task.evaluate, SharedEvaluator) and task.evaluate.ignored:
        checks.append(Check("settings", True, f"without a meaning here: {', '.join(task.evaluate.ignored)}"))
    if task.prompts is not None:
        checks.append(_templates(task.prompts))
    try:
        async with make_executor(task, config) as executor:
            checks.append(Check("evaluator loads", True, f"isolation {executor.isolation}"))
            checks += [check async for check in _run_checks(task, executor)]
    except TaskError as error:
        checks.append(Check("evaluator loads", False, str(error)))
    return checks


def _templates(folder: Path) -> Check:
    """Holds when the task's own templates of prompts can be filled in."""
    title = "prompt templates"
    try:
        Templates.load(folder)
    except ConfigError as error:
        return Check(title, False, str(error))
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return Check(title, True, f"in place of built-in ones: {', '.join(names) or 'none'}")


async def _run_checks(task: Task, executor: Executor) -> AsyncIterator[Check]:
    evaluations = [(await executor.evaluate(task.files, seed=seed)).evaluation for seed in _SEEDS]
    first = evaluations[0]
    yield Check("initial program scores", first.ok, _described(first))
    if not first.ok or first.objective is None:
        return
    yield _repeats(evaluations, task.objective)
    held_out = await executor.holdout(task.files, seed=0)
    if held_out is not None:
        yield Check("initial program scores on held-out data", held_out.ok, _described(held_out))
    paired = [await executor.paired(task.files, seed=seed) for seed in _PAIRED_SEEDS]
    if measured := [each.evaluation for each in paired if each is not None]:
        yield _pairs(measured, task.objective)
    cpu_s = first.cpu_s / task.objective.repeats
    share = cpu_s / task.limits.timeout_s
    detail = f"{cpu_s:.2f} of {task.limits.timeout_s:g} CPU s, {first.wall_s:.2f} s in all"
    yield Check("time to spare", share <= 0.5, detail)
    nothing = (await executor.evaluate(do_nothing(task.files), seed=0)).evaluation
    yield _no_gain(task, "a program that does nothing does not win", nothing, first.objective)
    entry = next(iter(task.files))
    forgery = _FORGED_BY_ENDING.get(PurePosixPath(entry).suffix, _FORGED)
    forged = (await executor.evaluate({**task.files, entry: forgery}, seed=0)).evaluation
    yield _no_score("a program that prints and writes a score and exits", forged)
    if task.shared_process:
        async for check in _forging(task, executor, first.objective):
            yield check
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


async def _forging(task: Task, executor: Executor, honest: float) -> AsyncIterator[Check]:
    """Says what of a shared-process score can be faked. That some of it can is known, and no failure of the task."""
    entry, text = next(iter(task.files.items()))
    if not entry.endswith(".py"):
        yield Check(
            "what can be faked", True, f"not tried: {entry} is not Python; take every score of this task as one that can be"
        )
        return
    oriented = task.objective.direction.oriented
    succeeded = 0
    programs = [(forgery.about, f"{text}\n{forgery.addition}") for forgery in FORGERIES]
    for about, source in [*programs, ("returns NaN everywhere", _emptied(text, float("nan")))]:
        found = (await executor.evaluate({**task.files, entry: source}, seed=0)).evaluation
        gained = found.objective is not None and oriented(found.objective) > oriented(honest)
        succeeded += gained
        yield Check(f"a program that {about}", True, f"{'CAN FAKE ITS SCORE' if gained else 'gains nothing'}: {_described(found)}")
    yield Check(
        "shared process",
        True,
        f"evaluator and program share a process, and {succeeded} of {len(programs) + 1} forgeries succeed: a score of this task is "
        "only as honest as its program (docs/other-frameworks.md)",
    )


def _repeats(evaluations: list[Evaluation], objective: Objective) -> Check:
    first, second = evaluations[0].objective, evaluations[1].objective
    if first is not None and second is not None and objective.repeats > 1:
        detail = f"mean of {objective.repeats}: {first!r}, then {second!r} with the same seed"
        return Check("score is measured repeatedly", True, f"{detail}, standard error {evaluations[0].standard_error!r}")
    same_seed = first is not None and second is not None and agree(first, second, objective.tolerance)
    detail = "same objective with the same seed" + (
        ", and with another" if same_seed and evaluations[1].objective == evaluations[2].objective else ""
    )
    if not same_seed:
        detail = f"{evaluations[0].objective!r}, then {evaluations[1].objective!r} with the same seed: "
        detail += "the score is noisy; set objective.repeats or objective.tolerance"
    return Check("score repeats", same_seed, detail)


def _pairs(measured: list[Evaluation], objective: Objective) -> Check:
    """Holds when a paired measurement has its randomness from the seed alone."""
    title = "paired measurement repeats"
    first, second = measured[0].objective, measured[1].objective
    if first is None or second is None:
        return Check(title, False, _described(next(each for each in measured if not each.ok)))
    if agree(first, second, objective.tolerance):
        return Check(title, True, "same objective with the same seed")
    return Check(title, False, f"{first!r}, then {second!r} with the same seed: something is random that the seed does not decide")


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


def _emptied(text: str, answer: object = None) -> str:
    value: ast.expr = ast.Constant(None)
    if isinstance(answer, float):
        value = ast.parse(f"float('{answer}')", mode="eval").body
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [ast.Return(value)]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"
