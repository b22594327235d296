"""Runs a task's evaluator on one program and turns whatever happens into an evaluation."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evolve.errors import TaskError
from evolve.evaluators.base import Invalid, ProgramFailed, Score, SiblingFailed, scored
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, ServerLost
from evolve.executors.base import Evaluated
from evolve.program import Evaluation, Files, Outcome, Task

logger = logging.getLogger(__name__)

_TEXT_SHOWN = 4000
Evaluator = Callable[[SandboxedProgram], Any]  # Any: an author's function may return anything; it is checked


def load_evaluator(task: Task) -> Evaluator:
    """Finds the function that scores a task's programs.

    Raises:
        TaskError: If there is none, or its file does not load; with the reason.
    """
    if task.evaluate is not None:
        return task.evaluate
    if task.folder is None:
        raise TaskError(f"task {task.name} has neither a folder with evaluate.py nor an evaluate function")
    path = task.folder / "evaluate.py"
    # A name of its own: tasks must not see each other's evaluators, nor a package that happens to be called evaluate.
    name = f"_evolve_task_{task.evaluator_sha256[:12]}_evaluate"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise TaskError(f"task {task.name}: {path} does not exist; it must define evaluate(program) -> Score")
    sys.path.insert(0, str(task.folder))
    sys.dont_write_bytecode = True  # an installed task's folder may be read-only, and its files are hashed
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:  # sys.exit at import as well
        raise TaskError(f"task {task.name}: {path} cannot be imported:\n{_own_traceback(error)}") from error
    evaluate = getattr(module, "evaluate", None)
    if not callable(evaluate):
        raise TaskError(f"task {task.name}: {path} has no function evaluate; it must define evaluate(program) -> Score")
    found: Evaluator = evaluate
    return found


def score(evaluate: Evaluator, task: Task, server: ForkServer, files: Files, seed: int, *, figure: bool) -> Evaluated:
    """Scores one program.

    Args:
        evaluate: The task's evaluator.
        task: Which task it is.
        server: Runs the program.
        files: The program's source.
        seed: For the program's global generators.
        figure: Whether to draw the evaluator's figure as well.
    """
    started = time.monotonic()
    with SandboxedProgram(server, files, seed) as program:
        evaluation, draw = _judge(evaluate, program)
    evaluation = dataclasses.replace(
        evaluation,
        feedback=_crossable(evaluation.feedback),
        cpu_s=program.cpu_s,
        wall_s=time.monotonic() - started,
        isolation=server.settings.isolation,
        evaluator_sha256=task.evaluator_sha256,
    )
    return Evaluated(evaluation, _drawn(draw) if figure and draw is not None else None)


def _judge(evaluate: Evaluator, program: SandboxedProgram) -> tuple[Evaluation, Callable[[str], None] | None]:
    try:
        answer = evaluate(program)
        if isinstance(answer, Score):
            return scored(answer), answer.figure
    except Invalid as invalid:
        return Evaluation(Outcome.INVALID, feedback=str(invalid)), None
    except SiblingFailed as failed:
        text = f"a sibling of the program failed, which is the task's to mend: {failed.outcome}: {failed.feedback}"
        return Evaluation(Outcome.EVALUATOR_FAILED, feedback=text, timing_dependent=failed.timing_dependent), None
    except ProgramFailed as failed:
        return Evaluation(failed.outcome, feedback=failed.feedback, timing_dependent=failed.timing_dependent), None
    except ServerLost:
        raise  # neither the program's nor the evaluator's doing: the executor repeats it elsewhere
    except BaseException as error:  # noqa: BLE001 - reported back; SystemExit too
        text = f"the task's evaluator raised an exception:\n{_own_traceback(error)}"
        return Evaluation(Outcome.EVALUATOR_FAILED, feedback=text), None
    text = f"the task's evaluator must return a Score, or raise Invalid; it returned an object of type {type(answer).__name__}"
    return Evaluation(Outcome.EVALUATOR_FAILED, feedback=text), None


def _drawn(draw: Callable[[str], None]) -> bytes | None:
    """The figure's bytes; None when drawing fails, which must not cost the score."""
    with tempfile.TemporaryDirectory(prefix="evolve-figure-") as folder:
        path = Path(folder, "figure.png")
        try:
            draw(str(path))
            return path.read_bytes()
        except Exception:  # an author's drawing code may raise anything; the log says what
            logger.warning("the evaluator's figure could not be drawn", exc_info=True)
            return None


def _own_traceback(error: BaseException) -> str:
    """The end of a traceback, without the frames of this file that called the author's code."""
    trace = error.__traceback__
    while trace is not None and (trace.tb_frame.f_code.co_filename == __file__ or "importlib" in trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()[-_TEXT_SHOWN:]


def _crossable(text: object) -> str:
    """A text without lone surrogates, which cannot be encoded."""
    return str(text).encode(errors="replace").decode()
