"""Archives, arms and executors that cost nothing, so that what is measured is the rest."""

from __future__ import annotations

import dataclasses
import time
import zlib
from types import TracebackType
from typing import Self

import numpy as np

import evolve
from evolve.archive.embeddings import HashedNgrams
from evolve.archive.novelty import SLACK, NoveltyConfig, fingerprint
from evolve.archive.records import Addition, CallBegun, CallEnded, Plan, Screen, Verdict
from evolve.config import RunConfig, with_limit
from evolve.edits import mutable_text
from evolve.executors.base import Evaluated
from evolve.insight import InsightConfig
from evolve.mutation import MutationRequest
from evolve.program import Evaluation, Files, Isolation, Metric, Outcome, Program, Reply, Task
from evolve.recording import create

#: About 6 kB, of which a child changes one line.
#: Neighbours end in numbers of their own and begin with different variables: where lines are all alike, their order does not show
#: in an embedding, and no limit is calibrated.
LINES = [
    f"    {name} = {name} * {i}.25 + values[{i} % len(values)] / (1.0 + abs({name})) - {i}.125"
    for i, name in enumerate(("total", "other") * 35)
]


def source(number: int) -> str:
    """A program of about 6 kB; each number gives another one."""
    lines = list(LINES)
    lines[number % len(lines)] = f"    total = total + {number}.5"
    lines[(7 * number) % len(lines)] = f"    total = total - {number % 97}.75 * values[0]"
    return "def run(values):\n    total = other = 0.0\n" + "\n".join(lines) + "\n    return total - other\n"


def scores_nothing(_: evolve.IsolatedProgram) -> evolve.Score:
    """Never called: `InstantExecutor` answers in its place."""
    return evolve.Score(0.0)


def task() -> Task:
    """The task that synthetic runs are of."""
    return evolve.inline_task("synthetic", source(0), scores_nothing)


def bare(config: RunConfig) -> RunConfig:
    """Takes what a user's run does beside its steps out of a configuration: embeddings, and notes on the run."""
    return dataclasses.replace(config, novelty=NoveltyConfig(calibrate=False), insight=InsightConfig(every=0))


class InstantArm:
    """Replies at once with a new program of the same size."""

    name = "local/instant"

    def __init__(self, first: int = 0) -> None:
        self._next = first

    async def generate(self, request: MutationRequest, rng: np.random.Generator) -> Reply:
        self._next += 1
        return Reply(text=str(self._next))

    def apply(self, reply: Reply, parent: Program) -> Files:
        return {path: source(int(reply.text)) for path in parent.files}


class InstantExecutor:
    """Scores at once, by the source's hash."""

    isolation = Isolation.PROCESS

    def __init__(self, slots: int = 2) -> None:
        self.slots = slots

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass

    async def evaluate(self, files: Files, *, seed: int, artifacts: bool = False, fresh: bool = False) -> Evaluated:
        return Evaluated(evaluation(zlib.crc32("".join(files.values()).encode()) % 10007))

    async def holdout(self, files: Files, *, seed: int) -> Evaluation | None:
        return None

    async def paired(self, files: Files, *, seed: int, artifacts: bool = False) -> Evaluated | None:
        return None


def evaluation(number: int) -> Evaluation:
    """An evaluation with a metric and some feedback."""
    return Evaluation(
        Outcome.OK,
        number / 10007,
        {"length": Metric(float(number))},
        f"the largest residual is {number / 3:.6f}, at index {number % 70}",
        cpu_s=0.001,
        wall_s=0.001,
        isolation=Isolation.PROCESS,
    )


class Stopwatch:
    """A watcher that notes CPU and wall seconds at each addition."""

    def __init__(self) -> None:
        self.cpu_s: list[float] = []
        self.wall_s: list[float] = []

    def settled(self, addition: Addition, finished: object, search: object) -> None:
        self.cpu_s.append(time.process_time())
        self.wall_s.append(time.perf_counter())


def fill(archive: evolve.Archive, steps: int, *, prompts: bool = False, of: Task | None = None, arm: str = "local/instant") -> int:
    """Writes a run of so many steps straight into an archive and returns its number.

    Programs have the embeddings that screens of the next step compare with.

    Args:
        archive: Open for writing.
        steps: How many, the initial program not counted.
        prompts: Whether each step has a paid call, a prompt of 25 kB and a reply of 1.5 kB, as a model's has.
        of: What the run is of, instead of `synthetic.task`; its initial program is step 0's.
        arm: Which arm all plans name.
    """
    made = of or task()
    config = with_limit(made, RunConfig(steps=max(1, steps)))
    embed, first_embedded = HashedNgrams().embed, steps - config.novelty.memory - SLACK
    run = create(archive, made, config, "")
    rng = np.random.default_rng(0)
    programs: list[Program] = []
    with archive.writer(run) as writer:
        for step in range(steps + 1):
            parent = programs[int(rng.integers(max(0, step - 500), step))] if step else None
            files = {"initial.py": source(step)} if parent else made.files
            program = Program.make(step, files, (parent,) if parent else ())
            programs.append(program)
            if parent is not None:
                writer.plan(Plan(step, step - 1, step % 4, parent.program_id, (programs[0].program_id,), arm))
                text = prompt(parent, programs[0], programs[step // 2]) if prompts else ""
                if prompts:
                    writer.call_begun(CallBegun(step, 0, 0, "openai/scripted", 0.04))
                    writer.call_ended(CallEnded(step, 0, 0, "ok", 6000, 0, 400, 0, 0.0076, 0.5))
                answer = Reply(text=reply(step) if prompts else str(step), prompt=text, tokens_in=6000, tokens_out=400)
                writer.reply(step, 0, answer)
                writer.screen(Screen(step, 0, step - 1, Verdict.NEW))
            embedding = embed(mutable_text(program.files)) if step > first_embedded else None
            writer.program(program, fingerprint(program.files), embedding)
            writer.evaluation(step, program.program_id, evaluation(step))
            writer.addition(Addition(step, step, Outcome.OK, program.program_id, 0.5, improved=False))
            if step % 50 == 0:
                writer.commit()
        writer.commit()
        writer.status("stopped", asked_steps=steps, seconds=1.0)
    return run


def prompt(*shown: Program) -> str:
    """A prompt as models get: instructions, then whole programs."""
    instructions = "\n".join(
        f"{i}. Improve the program below without changing its interface; state what you changed." for i in range(60)
    )
    return instructions + "".join(f"\n\n```python\n{program.files['initial.py']}```\n" for program in shown)


def reply(number: int) -> str:
    """A reply of about 1.5 kB with one search/replace block."""
    words = " ".join(f"reason{(number * k) % 211}" for k in range(120))
    return f"{words}\n<<<<<<< SEARCH\n{LINES[number % 70]}\n=======\n    total = total + {number}.5\n>>>>>>> REPLACE\n"
