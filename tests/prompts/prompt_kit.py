"""Programs and requests for the tests of prompts."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from evolve.llm.prices import typical_tokens
from evolve.mutation import MutationRequest, Scored
from evolve.program import Direction, Evaluation, Files, Metric, Objective, Outcome, Program, Task
from evolve.prompts.config import PromptConfig
from evolve.prompts.render import Prompt, Prompts
from evolve.prompts.templates import Templates

WHOLE = {"main.py": "def solve(n):\n    return n + 1\n"}
MARKED = {"main.py": "import math\n\n# EVOLVE-BLOCK-START\ndef solve(n):\n    return n + 1\n# EVOLVE-BLOCK-END\n"}
SEVERAL = {"tour.py": MARKED["main.py"], "lib/help.py": "def helped():\n    return 7\n", "a.py": "A = 1\n"}
LONG = {"main.py": "".join(f"def part{number}(x):\n    return x * {number} + 1\n" for number in range(60))}


@cache
def templates() -> Templates:
    return Templates.load()


def prompts(config: PromptConfig | None = None, count: Callable[[str], int] = typical_tokens) -> Prompts:
    return Prompts(templates(), config or PromptConfig(), count)


def task(files: Files, direction: Direction = Direction.MAXIMIZE, best_known: float | None = None) -> Task:
    objective = Objective("points", direction, best_known, "a paper" if best_known is not None else "")
    return Task("t", files, objective, background="Return what is asked.")


def ok(files: Files, objective: float, *, step: int = 1, parent: Program | None = None, **fields: object) -> Scored:
    program = Program.make(step, files, () if parent is None else (parent,))
    return Scored(program, Evaluation(Outcome.OK, objective, **fields))


def failed(files: Files, outcome: Outcome = Outcome.CRASHED, feedback: str = "Traceback\nNameError: y", step: int = 9) -> Scored:
    return Scored(Program.make(step, files), Evaluation(outcome, feedback=feedback))


def edited(files: Files, old: str, new: str) -> Files:
    assert any(old in text for text in files.values())
    return {path: text.replace(old, new) for path, text in files.items()}


def rich(files: Files, direction: Direction = Direction.MAXIMIZE) -> MutationRequest:
    """A request in which everything is there: `files` must hold ``+ 1``."""
    first = ok(files, 1.0, step=0)
    second = ok(edited(files, "+ 1", "+ 3"), 1.5, step=3, parent=first.program)
    parent = ok(
        edited(files, "+ 1", "+ 4"),
        1.75,
        step=6,
        parent=second.program,
        metrics={"size": Metric(12.0, Direction.MINIMIZE), "loops": Metric(3.0)},
        instances={"small": 1.0, "large": 2.5},
        feedback="The large instance is far from its bound.",
    )
    return MutationRequest(
        task(files, direction, 3.0),
        parent,
        inspirations=(
            ok(edited(files, "+ 1", "+ 8"), 1.9, step=4, instances={"small": 0.5, "large": 3.5}),
            ok({path: f"# another idea\n{text.replace('+ 1', '+ 9')}" for path, text in files.items()}, 1.8, step=5),
            ok(edited(files, "+ 1", "* 2"), 1.2, step=2),
        ),
        failures=(
            failed(edited(files, "+ 1", "+ y"), step=8),
            failed(edited(files, "+ 1", "** 9999"), Outcome.TIMED_OUT, "used 5.0 s of 5 s", step=7),
        ),
        lineage=(second, first),
        best=ok(edited(files, "+ 1", "+ 8"), 1.9, step=4),
        advice=("Think of the large instance.", "No recursion, please."),
        notes="Of 50 steps 41 were scored, 6 improved.\nFailed most often: crashed, NameError: y (3 times)",
    )


def text_of(prompt: Prompt) -> str:
    """Everything that is sent, as one text."""
    return "\n".join(f"<!-- {message.role} -->\n\n{message.text}" for message in prompt.messages)


def circle_packing() -> Task:
    from evolve.tasks.base import load

    return load(Path(__file__).parents[2] / "tasks" / "circle_packing", "bundled")
