"""Writes the prompts in ``golden``; after changing a template run ``python tests/prompts/make_golden.py`` and read what changed."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from prompt_kit import MARKED, SEVERAL, circle_packing, edited, failed, ok, prompts, rich, task, templates, text_of

from evolve.llm.specs import EditKind
from evolve.mutation import Complaint, MutationRequest
from evolve.program import Direction, Objective

FOLDER = Path(__file__).parent / "golden"


def texts() -> dict[str, str]:
    """All golden prompts by file name."""
    written = prompts()
    requests = {"marked": rich(MARKED), "several": rich(SEVERAL, Direction.MINIMIZE)}
    made = {
        f"{kind.value}-{name}.md": text_of(written.messages(request, kind, budget_tokens=20_000))
        for name, request in requests.items()
        for kind in EditKind
    }
    made |= {
        f"brief-{kind.value}.md": text_of(written.messages(_packing(), kind, budget_tokens=7000, brief=True)) for kind in EditKind
    }
    made["first-step.md"] = text_of(written.messages(_first(), EditKind.FULL, budget_tokens=20_000))
    retried = dataclasses.replace(_first(), complaints=(Complaint("no fenced block found", "I improved it."), Complaint("cut off")))
    made["retry.md"] = text_of(written.messages(retried, EditKind.DIFF, budget_tokens=20_000))
    made["tight.md"] = text_of(written.messages(rich(MARKED), EditKind.FULL, budget_tokens=780))
    made["folder-cross.md"] = text_of(written.messages(rich(SEVERAL), EditKind.CROSS, budget_tokens=20_000, in_folder=True))
    retried_in_folder = dataclasses.replace(retried, complaints=(Complaint("it crashed", "> I changed it."),))
    made["folder-retry.md"] = text_of(written.messages(retried_in_folder, EditKind.FULL, budget_tokens=20_000, in_folder=True))
    stuck = dataclasses.replace(rich(MARKED), new_approach=True)
    made["new-approach.md"] = text_of(written.messages(stuck, EditKind.DIFF, budget_tokens=20_000, chance=0.0))
    made["brief-new-approach.md"] = text_of(written.messages(stuck, EditKind.CROSS, budget_tokens=7000, brief=True, chance=0.0))
    for variant in templates().variants[1:]:
        made[f"variant-{variant}.md"] = text_of(written.messages(_first(), EditKind.FULL, budget_tokens=20_000, variant=variant))
    objective = Objective("seconds", Direction.MINIMIZE, 0.5)
    made["initial.md"] = text_of(written.first_program("Sort numbers.", objective, "`main.py` with `sort(numbers)`"))
    return made


def _first() -> MutationRequest:
    return MutationRequest(task(MARKED), ok(MARKED, 1.0, step=0))


def _packing() -> MutationRequest:
    packing = circle_packing()
    first = ok(packing.files, 2.3, step=0)
    parent = ok(edited(packing.files, "0.42", "0.421"), 2.4375, parent=first.program, feedback="8 circles touch nothing")
    other = ok(edited(packing.files, "0.22", "0.23"), 2.45, step=2)
    broken = failed(edited(packing.files, "0.05", "0.05 +"), feedback="SyntaxError: invalid syntax")
    return MutationRequest(packing, parent, (other,), failures=(broken,), lineage=(first,), best=other)


def main() -> None:
    """Writes all of them, and takes away those that are made no more."""
    FOLDER.mkdir(exist_ok=True)
    made = texts()
    for path in FOLDER.iterdir():
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
