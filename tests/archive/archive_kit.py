"""Small runs for the archive's tests: every number in them is chosen, so that what comes back can be worked out by hand."""

from __future__ import annotations

from evolve.archive.records import Addition, NewRun, Plan, Screen, Verdict
from evolve.archive.store import Archive, RunWriter
from evolve.program import Evaluation, Outcome, Program, Reply

EVALUATOR = "ab" * 32
SOURCE = "".join(f"def part_{k}(x):\n    return x * {k}.5 + {k}\n\n\n" for k in range(40))
INITIAL = Program.make(0, {"initial.py": SOURCE})


def new_run(name: str = "", task: str = "packing", direction: str = "maximize", **more: object) -> NewRun:
    return NewRun(
        task=task,
        task_origin="folder",
        task_folder="/tasks/packing",
        evaluator_sha256=EVALUATOR,
        direction=direction,
        metric="radius",
        seed=7,
        config={"steps": 10, "islands": {"n_islands": 2}},
        versions={"python": "3.11"},
        name=name,
        **more,  # type: ignore[arg-type]
    )


def ok(objective: float, **more: object) -> Evaluation:
    return Evaluation(Outcome.OK, objective, evaluator_sha256=EVALUATOR, **more)  # type: ignore[arg-type]


def child_of(parent: Program, step: int) -> Program:
    return Program.make(step, {"initial.py": SOURCE + f"# step {step}\n"}, (parent,))


def plan_of(step: int, parent: Program = INITIAL, arm: str = "local/literals") -> Plan:
    return Plan(step, max(0, step - 1), step % 2, parent.program_id, (INITIAL.program_id,), arm)


def begin(writer: RunWriter, objective: float = 1.0) -> None:
    """Writes the initial program."""
    writer.program(INITIAL, "initial")
    writer.evaluation(0, INITIAL.program_id, ok(objective))
    writer.addition(Addition(0, 0, Outcome.OK, INITIAL.program_id, 0.0, True))
    writer.commit()


def write_step(
    writer: RunWriter,
    step: int,
    evaluation: Evaluation,
    *,
    parent: Program = INITIAL,
    arm: str = "local/literals",
    cost_usd: float = 0.0,
    reward: float = 0.0,
    improved: bool = False,
    version: int | None = None,
) -> Program:
    """Writes a whole step in the loop's four commits; returns its program."""
    program = child_of(parent, step)
    writer.plan(plan_of(step, parent, arm))
    writer.commit()
    writer.reply(step, 0, Reply(f'{{"note":"edit {step}","edits":[]}}', tokens_in=10, tokens_out=5, cost_usd=cost_usd))
    writer.commit()
    writer.screen(Screen(step, 0, max(0, step - 1), Verdict.NEW))
    writer.program(program, f"mark {step}")
    writer.commit()
    writer.evaluation(step, program.program_id, evaluation)
    writer.addition(Addition(step if version is None else version, step, evaluation.outcome, program.program_id, reward, improved))
    writer.commit()
    return program


def started(archive: Archive, **more: object) -> tuple[int, RunWriter]:
    """Makes a run with its initial program; returns its number and its writer."""
    run = archive.create_run(new_run(**more))  # type: ignore[arg-type]
    writer = archive.writer(run)
    begin(writer)
    return run, writer
