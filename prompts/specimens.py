"""Made-up requests that lead through all templates, so that a mistake in one is found before a run starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator

from evolve.llm.specs import EditKind
from evolve.mutation import MutationRequest, Scored
from evolve.program import Direction, Evaluation, Files, Metric, Objective, Outcome, Program, Task
from evolve.prompts.budget import CUTS, brief_detail, full_detail
from evolve.prompts.config import PromptConfig
from evolve.prompts.parts import Part, Parts, effective_kind, initial, judge, note, system_template

_MARKED = {"main.py": "X = 1\n# EVOLVE-BLOCK-START\ndef f():\n    return X\n\n\n# EVOLVE-BLOCK-END\n"}
_SEVERAL = {**_MARKED, "lib.py": "Y = 2\n"}
_WHOLE = {"main.py": "def f():\n    return 1\n"}


def specimens(variants: Collection[str] = ()) -> Iterator[Part]:
    """Yields parts of which every template is filled in at least once.

    Args:
        variants: Of the system text, besides the default.
    """
    objectives = (Objective("score", Direction.MAXIMIZE, 1.5, "a paper"), Objective("cost", Direction.MINIMIZE))
    for objective in objectives:
        yield initial("Solve it.", objective, "main.py defines f()")
        yield initial("", objective, "")
        yield judge(_WHOLE, _changed(_WHOLE, "f", "g"), None)
        yield judge(_WHOLE, {"main.py": "pass\n"}, None)
        yield judge(_WHOLE, _changed(_WHOLE, "f", "g"), 1)
        for files in (_MARKED, _SEVERAL, _WHOLE):
            rich = _rich(files, objective)
            change = (rich.lineage[0], rich.parent)
            yield note(rich.task, "6 improved", rich.parent, [change, (rich.parent, rich.failures[0])])
            yield note(_bare(files, objective).task, "nothing", None, [])
            for request in (rich, _rich(files, objective, new_approach=True), _bare(files, objective)):
                yield from _parts(request, variants)


def _parts(request: MutationRequest, variants: Collection[str]) -> Iterator[Part]:
    config = PromptConfig()
    forms = ((False, False, full_detail(config)), (True, False, brief_detail(config)), (False, True, full_detail(config)))
    for brief, in_folder, detail in forms:
        for kind in EditKind:
            parts = Parts(request, effective_kind(request, kind), brief=brief, in_folder=in_folder)
            system, *others = parts.constant()
            yield from (system, *others)
            yield from (Part(system_template(variant), system.context) for variant in variants)
            yield from parts.changing(detail)
            yield parts.ask()
            yield parts.ask("Look there.")
            yield parts.directions()
            yield parts.left_out((CUTS[0].name, CUTS[1].name))
            for shown in (False, True):
                yield parts.retry("```text\nno block\n```", reply_shown=shown, reply_shortened=shown)


def _bare(files: Files, objective: Objective) -> MutationRequest:
    """Makes a request as a run's first step has it, for a task without a background and a program without a score."""
    task = Task("specimen", files, objective)
    return MutationRequest(task, Scored(Program.make(0, files), Evaluation(Outcome.CRASHED)))


def _rich(files: Files, objective: Objective, *, new_approach: bool = False) -> MutationRequest:
    """Makes a request in which nothing is missing."""
    first = Program.make(0, files)
    task = Task("specimen", files, objective, summary="A specimen.", background="Solve it.")
    parent = Program.make(1, _changed(files, "f", "g"), (first,))
    return MutationRequest(
        task,
        Scored(parent, _evaluation(1.0)),
        inspirations=(Scored(Program.make(2, _changed(files, "f", "h"), (first,)), _evaluation(2.0)),),
        failures=tuple(_failure(parent, outcome, step) for step, outcome in enumerate(Outcome, 10)),
        lineage=(Scored(first, _evaluation(0.5)),),
        best=Scored(first, _evaluation(3.0)),
        advice=("try this",),
        notes="diff: 3 of 10 improved",
        new_approach=new_approach,
    )


def _changed(files: Files, old: str, new: str) -> Files:
    return {path: text.replace(f"def {old}", f"def {new}") for path, text in files.items()}


def _evaluation(value: float) -> Evaluation:
    metrics = {"size": Metric(value, Direction.MINIMIZE), "loops": Metric(value)}
    evaluation = Evaluation(Outcome.OK, value, metrics, feedback="good", instances={"one": value, "two": -value})
    return dataclasses.replace(evaluation, values=(value, value), standard_error=0.25)


def _failure(parent: Program, outcome: Outcome, step: int) -> Scored:
    child = Program.make(step, _changed(parent.files, "g", f"g{step}"), (parent,))
    objective = 0.0 if outcome is Outcome.OK else None
    return Scored(child, Evaluation(outcome, objective, feedback="Traceback: ..."))
