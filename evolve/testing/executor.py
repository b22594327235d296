"""What every executor must do: inherit `ExecutorContract`, supply `make`, and let pytest collect it."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from evolve.errors import ExecutorError, TaskError
from evolve.executors.base import Evaluated, Executor
from evolve.program import Evaluation, Isolation, Limits, Objective, Outcome, Smoke, Stage, Task
from evolve.testing.evaluators import (
    PATIENCE_S,
    evaluate_answer,
    evaluate_badly,
    evaluate_in_company,
    holdout_answer,
    paired_answer,
    smoke_answer,
)

_SHA = "0" * 64
_LIMITS = Limits(timeout_s=1.0, wall_timeout_s=10.0, memory_mb=256)
_DOUBLE = "def answer(x):\n    return 2 * x\n"
_DRAW = "import random\nimport numpy as np\n\ndef answer(x):\n    return random.random() + np.random.rand()\n"
_LOOP = "def answer(x):\n    while True:\n        pass\n"
_SLEEP = "import time\n\ndef answer(x):\n    time.sleep(600)\n"
_MEMORY = "def answer(x):\n    return len([bytes(2**20) for _ in range(10**6)])\n"
_FAILURES = [
    ("def answer(x):\n    return -1\n", Outcome.INVALID, "which is negative"),
    ("def answer(x):\n    return float('nan')\n", Outcome.INVALID, "nan"),
    ("def answer(x):\n    return object()\n", Outcome.INVALID, "object"),
    ("def other(x):\n    return 1\n", Outcome.INVALID, "other"),
    ("def answer(x):\n    raise KeyError('gone')\n", Outcome.CRASHED, "gone"),
    ("def answer(x) return\n", Outcome.CRASHED, "SyntaxError"),
    ("import os\n\ndef answer(x):\n    os._exit(0)\n", Outcome.CRASHED, "status 0"),
    (_LOOP, Outcome.TIMED_OUT, "CPU"),
    (_MEMORY, Outcome.OUT_OF_MEMORY, "memory_mb"),
]
_COUNT = "calls = []\n\ndef answer(x):\n    calls.append(x)\n    return len(calls)\n"


class ExecutorContract:
    """Tests of the `Executor` protocol; a subclass says how to make one."""

    def make(self, task: Task, slots: int) -> Executor:
        """Makes an executor of ``task`` for so many evaluations at once, not yet entered."""
        raise NotImplementedError

    def task(self, evaluate: object = evaluate_answer) -> Task:
        """Makes an inline task with one of this module's evaluators."""
        assert callable(evaluate)
        return Task("contract", {"initial.py": _DOUBLE}, limits=_LIMITS, evaluate=evaluate, evaluator_sha256=_SHA)

    def one(self, task: Task, source: str, *, fresh: bool = False) -> Evaluation:
        """Evaluates one source on a new executor."""

        async def alone() -> Evaluation:
            async with self.make(task, 1) as executor:
                return (await executor.evaluate({"initial.py": source}, seed=5, fresh=fresh)).evaluation

        return asyncio.run(alone())

    def run(self, *sources: str, slots: int = 1, seed: int = 0, evaluate: object = evaluate_answer) -> list[Evaluated]:
        """Evaluates sources all at once on a new executor."""

        async def all_at_once() -> list[Evaluated]:
            async with self.make(self.task(evaluate), slots) as executor:
                calls = (executor.evaluate({"initial.py": source}, seed=seed) for source in sources)
                return await asyncio.gather(*calls)

        return asyncio.run(all_at_once())

    def test_a_score_arrives_whole(self) -> None:
        [(evaluation, figure, artifacts)] = self.run(_DOUBLE)
        assert (evaluation.outcome, evaluation.objective) == (Outcome.OK, 42.0)
        assert {name: metric.value for name, metric in evaluation.metrics.items()} == {"half": 21.0}
        assert evaluation.feedback == "well done"
        assert evaluation.evaluator_sha256 == _SHA
        assert evaluation.cpu_s > 0
        assert evaluation.wall_s > 0
        assert not evaluation.timing_dependent
        assert figure is None
        assert not artifacts

    def test_the_level_is_known_and_recorded(self) -> None:
        async def levels() -> tuple[Isolation, Isolation | None]:
            async with self.make(self.task(), 1) as executor:
                evaluated = await executor.evaluate({"initial.py": _DOUBLE}, seed=0)
                return executor.isolation, evaluated.evaluation.isolation

        weakest, used = asyncio.run(levels())
        assert used is not None
        assert used.rank >= weakest.rank

    def test_figure_and_artifacts_come_only_when_asked_for(self) -> None:
        async def drawn() -> Evaluated:
            async with self.make(self.task(), 1) as executor:
                return await executor.evaluate({"initial.py": _DOUBLE}, seed=0, artifacts=True)

        assert asyncio.run(drawn()).files == {"figure.png": b"\x89PNG", "answer.txt": b"noted"}

    def test_results_depend_on_source_and_seed_alone(self) -> None:
        alone = self.run(_DRAW, seed=5)[0].evaluation.objective
        among_others = [evaluated.evaluation.objective for evaluated in self.run(_DRAW, _DOUBLE, _DRAW, slots=2, seed=5)]
        assert among_others == [alone, 42.0, alone]
        assert self.run(_DRAW, seed=6)[0].evaluation.objective != alone

    def test_nothing_is_remembered_between_evaluations(self) -> None:
        assert [evaluated.evaluation.objective for evaluated in self.run(_COUNT, _COUNT)] == [1.0, 1.0]

    def test_a_fresh_sandbox_gives_the_same_result(self) -> None:
        assert self.one(self.task(), _DRAW, fresh=True).objective == self.one(self.task(), _DRAW).objective

    def test_a_fresh_sandbox_remembers_nothing_either(self) -> None:
        async def again_and_again() -> list[float | None]:
            async with self.make(self.task(), 1) as executor:
                files = {"initial.py": _COUNT}
                return [(await executor.evaluate(files, seed=0, fresh=fresh)).evaluation.objective for fresh in (False, True, True)]

        assert asyncio.run(again_and_again()) == [1.0, 1.0, 1.0]

    def test_a_program_that_fails_smoke_is_not_evaluated(self) -> None:
        task = dataclasses.replace(self.task(evaluate_badly), smoke_test=smoke_answer)
        found = self.one(task, "def answer(x):\n    return 'raise'\n")
        assert (found.outcome, found.stage) == (Outcome.INVALID, Stage.SMOKE)
        assert "not a number" in found.feedback

    def test_smoke_has_a_limit_of_its_own(self) -> None:
        task = dataclasses.replace(
            self.task(),
            smoke_test=smoke_answer,
            smoke=Smoke(timeout_s=0.2),
            limits=dataclasses.replace(_LIMITS, timeout_s=600.0, wall_timeout_s=None),
        )
        found = self.one(task, _LOOP)
        assert (found.outcome, found.stage) == (Outcome.TIMED_OUT, Stage.SMOKE)

    def test_repeats_are_measured_in_processes_and_with_seeds_of_their_own(self) -> None:
        task = dataclasses.replace(self.task(), objective=Objective(repeats=3))
        found = self.one(task, _DRAW)
        assert len(set(found.values)) == 3
        assert found.values[0] == self.one(self.task(), _DRAW).objective
        assert found.objective == pytest.approx(sum(found.values) / 3)
        assert found.standard_error is not None
        assert self.one(task, _COUNT).values == (1.0, 1.0, 1.0)
        assert self.one(task, _DRAW).values == found.values

    def test_held_out_data_scores_when_asked_and_only_where_there_is_some(self) -> None:
        async def both(task: Task) -> tuple[Evaluation | None, float | None]:
            async with self.make(task, 1) as executor:
                files = {"initial.py": _DOUBLE}
                return await executor.holdout(files, seed=0), (await executor.evaluate(files, seed=0)).evaluation.objective

        held, objective = asyncio.run(both(dataclasses.replace(self.task(), holdout=holdout_answer)))
        assert held is not None
        assert (held.outcome, held.objective, held.stage, objective) == (Outcome.OK, 200.0, Stage.HOLDOUT, 42.0)
        assert asyncio.run(both(self.task()))[0] is None

    def test_a_paired_measurement_gets_its_seed_where_there_is_one(self) -> None:
        async def measured(task: Task, source: str, *seeds: int) -> list[Evaluated | None]:
            async with self.make(task, 1) as executor:
                return [await executor.paired({"initial.py": source}, seed=seed, artifacts=seed == 2) for seed in seeds]

        task = dataclasses.replace(self.task(), paired=paired_answer, objective=Objective(repeats=3))
        first, second = asyncio.run(measured(task, _DOUBLE, 2, 3))
        assert first is not None
        assert second is not None
        assert (first.evaluation.outcome, first.evaluation.stage) == (Outcome.OK, Stage.PAIRED)
        assert (first.evaluation.objective, second.evaluation.objective) == (4.0, 6.0)
        assert (first.files, second.files) == ({"answer.txt": b"noted"}, {})
        crashed = asyncio.run(measured(task, "def answer(x):\n    raise KeyError(x)\n", 2))[0]
        assert crashed is not None
        assert (crashed.evaluation.outcome, crashed.evaluation.stage) == (Outcome.CRASHED, Stage.PAIRED)
        assert asyncio.run(measured(self.task(), _DOUBLE, 2)) == [None]

    def test_a_failing_program_is_an_evaluation(self) -> None:
        results = self.run(*(source for source, _, _ in _FAILURES))
        for (source, outcome, feedback), (evaluation, *_) in zip(_FAILURES, results, strict=True):
            assert evaluation.outcome is outcome, source
            assert evaluation.objective is None
            assert feedback in evaluation.feedback

    def test_a_deadline_leaves_a_neighbour_alone(self) -> None:
        slow, quick = self.run(_LOOP, _DOUBLE, slots=2)
        assert slow.evaluation.outcome is Outcome.TIMED_OUT
        assert quick.evaluation.objective == 42.0

    def test_as_many_run_at_once_as_there_are_slots(self, tmp_path: Path) -> None:
        def files(name: str) -> dict[str, str]:
            return {"initial.py": _DOUBLE, "folder.txt": str(tmp_path), "company.txt": "2", "name.txt": name}

        async def both() -> list[Evaluated]:
            async with self.make(self.task(evaluate_in_company), 2) as executor:
                assert executor.slots == 2
                return await asyncio.gather(*(executor.evaluate(files(name), seed=0) for name in ("a", "b")))

        assert [evaluated.evaluation.objective for evaluated in asyncio.run(both())] == [2.0, 2.0]

    def test_a_cancelled_call_frees_its_slot(self) -> None:
        async def cancel_then_evaluate() -> Evaluated:
            async with self.make(self.task(), 1) as executor:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.3):
                        await executor.evaluate({"initial.py": _SLEEP}, seed=0)
                async with asyncio.timeout(PATIENCE_S):
                    return await executor.evaluate({"initial.py": _DOUBLE}, seed=0)

        assert asyncio.run(cancel_then_evaluate()).evaluation.objective == 42.0

    def test_a_broken_evaluator_is_not_the_programs_failure(self) -> None:
        mistakes = [f"def answer(x):\n    return {mistake!r}\n" for mistake in ("raise", "exit", "return a dict", "talk", "mumble")]
        outcomes = [evaluated.evaluation.outcome for evaluated in self.run(*mistakes, evaluate=evaluate_badly)]
        assert outcomes == [Outcome.EVALUATOR_FAILED] * 5

    @pytest.mark.parametrize(
        ("source", "reason"),
        [("import nowhere_to_be_found\n", "nowhere_to_be_found"), ("x = 1\n", "evaluate"), ("def evaluate(\n", "SyntaxError")],
    )
    def test_entering_proves_that_the_evaluator_loads(self, tmp_path: Path, source: str, reason: str) -> None:
        (tmp_path / "evaluate.py").write_text(source)
        task = Task("broken", {"initial.py": _DOUBLE}, folder=tmp_path, evaluator_sha256=_SHA)

        async def enter() -> None:
            async with self.make(task, 1):
                pass

        with pytest.raises(TaskError, match=reason):
            asyncio.run(enter())

    def test_nothing_is_evaluated_after_leaving(self) -> None:
        async def late() -> None:
            async with self.make(self.task(), 1) as executor:
                pass
            await executor.evaluate({"initial.py": _DOUBLE}, seed=0)

        with pytest.raises(ExecutorError):
            asyncio.run(late())
