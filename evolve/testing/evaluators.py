"""Evaluators of the contract tests, apart from them: a worker that loads one need not import pytest."""

from __future__ import annotations

import time
from pathlib import Path

from evolve.evaluators.base import Invalid, IsolatedProgram, Score

#: Far above what anything here takes on a busy machine.
PATIENCE_S = 30.0


def evaluate_answer(program: IsolatedProgram) -> Score:
    """Scores what the program answers to 21; negative answers are invalid."""
    answer = program.call("answer", 21)
    if answer < 0:
        raise Invalid(f"the answer is {answer}, which is negative")
    return Score(answer, metrics={"half": answer / 2}, feedback="well done", figure=_draw, artifacts={"answer.txt": _note})


def evaluate_badly(program: IsolatedProgram) -> Score:
    """Breaks an evaluator's contract, each program in the way that it asks for."""
    match program.call("answer", 21):
        case "raise":
            raise RuntimeError("a mistake of the evaluator")
        case "exit":
            raise SystemExit(3)
        case "talk":
            return Score(1.0, feedback="x" * 2**25)
        case "mumble":
            return Score(1.0, metrics={"\ud800": 1.0})
        case _:
            return {"score": 1.0}  # type: ignore[return-value]  # the point of it


def smoke_answer(program: IsolatedProgram) -> None:
    """Lets programs go on whose answer is a number."""
    if not isinstance(program.call("answer", 21), int | float):
        raise Invalid("the answer is not a number")


def holdout_answer(program: IsolatedProgram) -> Score:
    """Scores what the program answers to 100."""
    return Score(program.call("answer", 100))


def paired_answer(program: IsolatedProgram, seed: int) -> Score:
    """Scores what the program answers to a number that its seed alone decides."""
    return Score(program.call("answer", seed % 1000), artifacts={"answer.txt": _note})


def evaluate_in_company(program: IsolatedProgram) -> Score:
    """Scores nothing before as many evaluations as the program says are under way at the same time."""
    folder, company = Path(program.files["folder.txt"]), int(program.files["company.txt"])
    (folder / program.files["name.txt"]).touch()
    give_up_at = time.monotonic() + PATIENCE_S
    while len(list(folder.iterdir())) < company:
        if time.monotonic() > give_up_at:
            raise Invalid("nobody came")
        time.sleep(0.005)
    return Score(program.call("answer", 1))


def _draw(path: str) -> None:
    Path(path).write_bytes(b"\x89PNG")


def _note(path: str) -> None:
    Path(path).write_bytes(b"noted")
