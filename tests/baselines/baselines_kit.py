"""A task with baselines that is measured in milliseconds, and measurements that nobody made."""

from pathlib import Path

from evolve.baselines.journal import Journal, Measurement
from evolve.baselines.measuring import Plan
from evolve.baselines.programs import select
from evolve.config import resolve
from evolve.program import Evaluation, Metric, Outcome, Stage
from evolve.tasks.base import load

MANIFEST = """
name = "noisy"
program = ["initial.py"]
[objective]
metric = "score"
repeats = 3
[baselines_table]
chart = ["size", "score"]
[[baselines]]
name = "one"
path = "baselines/one.py"
about = "answers 1"
[[baselines]]
name = "two"
path = "baselines/two.py"
[[baselines]]
name = "bad"
path = "baselines/bad.py"
unfit = "a diagnostic"
"""
EVALUATE = """
import random
from evolve.evaluators import Score

def note(path):
    open(path, "w").write("noted")

def evaluate(program):
    return Score(program.call("answer"))

def paired(program, seed):
    return Score(program.call("answer") + random.Random(seed).random(), {"size": 3.0}, artifacts={"note.txt": note})
"""


def write_task(folder: Path) -> Path:
    (folder / "baselines").mkdir(parents=True)
    (folder / "task.toml").write_text(MANIFEST)
    (folder / "evaluate.py").write_text(EVALUATE)
    (folder / "initial.py").write_text("def answer():\n    return 0.0\n")
    (folder / "baselines" / "one.py").write_text("def answer():\n    return 1.0\n")
    (folder / "baselines" / "two.py").write_text("def answer():\n    return 2.0\n")
    (folder / "baselines" / "bad.py").write_text("def answer():\n    raise KeyError('gone')\n")
    return folder


def plan(folder: Path, seeds=range(3), **more) -> Plan:
    """A plan for the task that `write_task` writes beside its results."""
    where = folder / "task"
    task = load(where if where.exists() else write_task(where), "folder")
    choice = {name: more.pop(name) for name in ("only", "reference") if name in more}
    return Plan(task, resolve(task, options={"workers": 1}), select(task, **choice), seeds, folder / "results", **more)


def measured(plan: Plan, values: dict[str, list[float | None]], **more) -> None:
    """Puts measurements into the journal: by baseline one objective a seed, None for a failure."""
    programs = {program.name: program for program in plan.selection.programs}
    with Journal(plan.folder, plan.task) as journal:
        for name, objectives in values.items():
            for seed, objective in zip(plan.seeds, objectives, strict=True):
                evaluation = an_evaluation(plan, objective, **more)
                journal.write(Measurement(name, programs[name].source_sha256, seed, evaluation, "a machine"))


def an_evaluation(plan: Plan, objective: float | None, **more) -> Evaluation:
    common = {"stage": Stage.PAIRED, "evaluator_sha256": plan.task.evaluator_sha256, "wall_s": 0.5, **more}
    if objective is None:
        return Evaluation(Outcome.CRASHED, feedback="an exception in answer:\nTraceback\nKeyError: 'gone'", **common)
    return Evaluation(Outcome.OK, objective, {"size": Metric(2 * objective)}, **common)
