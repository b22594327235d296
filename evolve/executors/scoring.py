"""Runs a task's evaluator on one program and turns whatever happens into an evaluation."""

from __future__ import annotations

import dataclasses
import importlib.util
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from evolve.errors import EvolveError, TaskError
from evolve.evaluators.base import FIGURE_FILE, Invalid, ProgramFailed, Score, SiblingFailed, scored
from evolve.evaluators.cascade import Cascade, Scorer, check_smoke
from evolve.evaluators.compat import SharedEvaluator
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, ServerLost
from evolve.evaluators.statistics import mean, standard_error
from evolve.executors.base import Evaluated
from evolve.program import Evaluation, Files, Metric, Outcome, Stage, Task
from evolve.rng import derived_seed

logger = logging.getLogger(__name__)

_TEXT_SHOWN = 4000


class _Judged(NamedTuple):
    """An evaluation without its costs, and what writes files to it, by name."""

    evaluation: Evaluation
    writers: Mapping[str, Callable[[str], None]] = MappingProxyType({})


def load_evaluator(task: Task) -> Cascade:
    """Finds the functions that score a task's programs.

    Raises:
        TaskError: If there is none, or its file does not load; with the reason.
    """
    if task.evaluate is not None:
        return Cascade(task.evaluate, task.smoke_test, task.holdout, task.paired)
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
    except EvolveError as error:
        raise TaskError(f"task {task.name}: {error}") from error
    except BaseException as error:  # sys.exit at import as well
        raise TaskError(f"task {task.name}: {path} cannot be imported:\n{_own_traceback(error)}") from error
    names = ("evaluate", "smoke", "holdout", "paired")
    found = {name: getattr(module, name) for name in names if callable(getattr(module, name, None))}
    if "evaluate" not in found:
        raise TaskError(f"task {task.name}: {path} has no function evaluate; it must define evaluate(program) -> Score")
    return Cascade(**found)


def score(cascade: Cascade, task: Task, server: ForkServer, files: Files, seed: int, *, artifacts: bool) -> Evaluated:
    """Scores one program, as often as the task's objective says.

    Args:
        cascade: The task's evaluator.
        task: Which task it is.
        server: Runs the program.
        files: The program's source.
        seed: For the program's global generators; repeated measurements derive theirs from it.
        artifacts: Whether to draw the evaluator's figure and write its further files as well.
    """
    started = time.monotonic()
    source = _laid_out(cascade, files)
    cpu_s, judged = 0.0, []
    for repeat in range(task.objective.repeats):
        with SandboxedProgram(server, source, seed if repeat == 0 else derived_seed(seed, repeat, "repeat")) as program:
            judged.append(_through_stages(cascade, task, program, smoke=repeat == 0))
        cpu_s += program.cpu_s
        if not judged[-1].evaluation.ok:
            break
    evaluation = judged[-1].evaluation if not judged[-1].evaluation.ok else _together([each.evaluation for each in judged])
    evaluation = _finished(evaluation, task, server, cpu_s, started)
    return _with_files(evaluation, judged[0].writers if artifacts else {})


def score_holdout(cascade: Cascade, task: Task, server: ForkServer, files: Files, seed: int) -> Evaluation | None:
    """Scores a finished result on held-out data; None if the task has none."""
    if cascade.holdout is None:
        return None
    started = time.monotonic()
    with SandboxedProgram(server, _laid_out(cascade, files), seed) as program:
        judged = _judge(cascade.holdout, program)
    evaluation = dataclasses.replace(judged.evaluation, stage=Stage.HOLDOUT)
    return _finished(evaluation, task, server, program.cpu_s, started)


def score_paired(cascade: Cascade, task: Task, server: ForkServer, files: Files, seed: int, *, artifacts: bool) -> Evaluated | None:
    """Measures a program once with the randomness of a seed; None if the task has no such measurement. Arguments as for `score`."""
    measure = cascade.paired
    if measure is None:
        return None
    started = time.monotonic()
    with SandboxedProgram(server, _laid_out(cascade, files), seed) as program:
        judged = _judge(lambda program: measure(program, seed), program)
    evaluation = dataclasses.replace(judged.evaluation, stage=Stage.PAIRED)
    return _with_files(_finished(evaluation, task, server, program.cpu_s, started), judged.writers if artifacts else {})


def _laid_out(cascade: Cascade, files: Files) -> Files:
    """What lies in the sandbox: the program, and what stands around it where its evaluator shares its process."""
    return cascade.evaluate.surroundings(files) if isinstance(cascade.evaluate, SharedEvaluator) else files


def _finished(evaluation: Evaluation, task: Task, server: ForkServer, cpu_s: float, started: float) -> Evaluation:
    """Adds what is known outside of the evaluator."""
    return dataclasses.replace(
        evaluation,
        feedback=_crossable(evaluation.feedback),
        cpu_s=cpu_s,
        wall_s=time.monotonic() - started,
        isolation=server.settings.isolation,
        evaluator_sha256=task.evaluator_sha256,
        shared_process=task.shared_process,
    )


def _together(evaluations: list[Evaluation]) -> Evaluation:
    """Combines repeated measurements, all with outcome ``OK``: means, and the standard error of the objective's."""
    first = evaluations[0]
    if len(evaluations) == 1:
        return first
    objectives = tuple(float(each.objective) for each in evaluations if each.objective is not None)
    common = set.intersection(*(set(each.metrics) for each in evaluations))
    metrics = {
        name: Metric(mean([each.metrics[name].value for each in evaluations]), metric.direction)
        for name, metric in first.metrics.items()
        if name in common
    }
    shared = set.intersection(*(set(each.instances) for each in evaluations))
    instances = {name: mean([each.instances[name] for each in evaluations]) for name in first.instances if name in shared}
    return dataclasses.replace(
        first,
        objective=mean(objectives),
        metrics=metrics,
        instances=instances,
        values=objectives,
        standard_error=standard_error(objectives),
    )


def _through_stages(cascade: Cascade, task: Task, program: SandboxedProgram, *, smoke: bool) -> _Judged:
    """Runs the smoke test, where there is one and it is asked for, and evaluates what passes it."""
    if smoke and cascade.smoke is not None:
        test = cascade.smoke

        def passing(program: SandboxedProgram) -> Score:
            with program.limited_to(task.smoke.timeout_s):
                check_smoke(test(program), task.smoke, task.objective.direction)
            return Score(0.0)

        judged = _judge(passing, program)
        if not judged.evaluation.ok:
            return _Judged(dataclasses.replace(judged.evaluation, stage=Stage.SMOKE))
    return _judge(cascade.evaluate, program)


def _judge(evaluate: Scorer, program: SandboxedProgram) -> _Judged:
    try:
        answer = evaluate(program)
        if isinstance(answer, Score):
            evaluation = scored(answer)
            figure = {} if answer.figure is None else {FIGURE_FILE: answer.figure}
            return _Judged(evaluation, {**figure, **answer.artifacts} if evaluation.ok else {})
    except Invalid as invalid:
        return _Judged(Evaluation(Outcome.INVALID, feedback=str(invalid)))
    except SiblingFailed as failed:
        text = f"a sibling of the program failed, which is the task's to mend: {failed.outcome}: {failed.feedback}"
        return _Judged(Evaluation(Outcome.EVALUATOR_FAILED, feedback=text, timing_dependent=failed.timing_dependent))
    except ProgramFailed as failed:
        return _Judged(Evaluation(failed.outcome, feedback=failed.feedback, timing_dependent=failed.timing_dependent))
    except ServerLost:
        raise  # neither the program's nor the evaluator's doing: the executor repeats it elsewhere
    except EvolveError as error:
        # Its message says what to do; where it was raised is no help to whoever set something wrong.
        return _Judged(Evaluation(Outcome.EVALUATOR_FAILED, feedback=f"the task's evaluator cannot work: {error}"))
    except BaseException as error:  # noqa: BLE001 - reported back; SystemExit too
        text = f"the task's evaluator raised an exception:\n{_own_traceback(error)}"
        return _Judged(Evaluation(Outcome.EVALUATOR_FAILED, feedback=text))
    text = f"the task's evaluator must return a Score, or raise Invalid; it returned an object of type {type(answer).__name__}"
    return _Judged(Evaluation(Outcome.EVALUATOR_FAILED, feedback=text))


def _with_files(evaluation: Evaluation, writers: Mapping[str, Callable[[str], None]]) -> Evaluated:
    """Has the evaluator's files written."""
    written = {name: content for name, write in writers.items() if (content := _written(name, write)) is not None}
    return Evaluated(evaluation, written.pop(FIGURE_FILE, None), written)


def _written(name: str, write: Callable[[str], None]) -> bytes | None:
    """A file's bytes; None when writing it fails, which must not cost the score."""
    with tempfile.TemporaryDirectory(prefix="evolve-artifact-") as folder:
        path = Path(folder, name)
        try:
            write(str(path))
            return path.read_bytes()
        except Exception:  # an author's drawing code may raise anything; the log says what
            logger.warning("the evaluator's %s could not be written", name, exc_info=True)
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
