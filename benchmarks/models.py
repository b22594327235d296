"""What runs with language models cost beside the models: `run.py --only models`."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import synthetic
from figures import Row, child_cpu_s, peak_mb, ratio
from scripted_model import serving
from sqlalchemy import func, select

import evolve
from evolve.archive.tables import call_ends
from evolve.config import RunConfig, with_limit
from evolve.executors.base import Evaluated
from evolve.llm.base import Message, ModelRequest, Role
from evolve.llm.clients import make_client
from evolve.llm.specs import EditKind, parse_spec
from evolve.maker import arm_name
from evolve.program import Evaluation, Files, Outcome, Task
from evolve.recording import create
from evolve.session import Parts, drive
from evolve.stages import StageConfig

_MODEL_S, _EVALUATOR_S, _IN_FLIGHT = 0.5, 0.2, 8
# What is evaluated late while workers start has been caught up by then.
_SLOW_STEPS, _EDGE = 480, 100
#: What is imported only when a model is asked: together they take seconds.
_LATE = ("openai", "anthropic", "litellm", "httpx", "pydantic", "jinja2")
_TRIVIAL = "def run(values):\n    total = 0.0\n    return total\n"
_TRACE = 'Traceback (most recent call last):\n  File "initial.py", line {0}, in run\nZeroDivisionError: division by {0}\n'


def models() -> Iterator[Row]:
    """Throughput, CPU, disk and memory of runs whose arms are models that cost nothing."""
    yield from _imports()
    yield from _controller()
    yield from _long_run()
    yield from _resume()
    yield from _throughput()


# Throughput


def _throughput() -> Iterator[Row]:
    """Steps per second with a model and an evaluator that take their time, against what they would allow at best."""
    ideal = min(_IN_FLIGHT / _MODEL_S, _IN_FLIGHT / _EVALUATOR_S)
    found = [_slow_run() for _ in range(3)]
    steady, whole, latency_s = (sorted(figures) for figures in zip(*found, strict=True))
    yield Row(
        f"model {_MODEL_S * 1e3:.0f} ms, evaluator {_EVALUATOR_S * 1e3:.0f} ms, {_IN_FLIGHT} of each in flight, sandboxed: "
        f"steps/s, wall clock, / ideal ({_IN_FLIGHT} / {_MODEL_S} s = {ideal:.0f} steps/s), {_SLOW_STEPS - 2 * _EDGE} steps of "
        f"{_SLOW_STEPS}, median of 3 (range)",
        f"{steady[1] / ideal:.3f} ({steady[0] / ideal:.3f} to {steady[-1] / ideal:.3f})",
        ">= 0.97",
    )
    yield Row("  the same, first and last steps included: workers start, queues fill", f"{whole[1] / ideal:.3f}", "–")
    within = steady[1] * latency_s[1] / _IN_FLIGHT
    yield Row("  the same with calls as long as they are recorded in place of 500 ms: lost between them", f"{within:.3f}", "–")
    yield Row("  a call of the model as it is recorded, wall-clock ms, mean", f"{latency_s[1] * 1e3:.0f}", "–")


class _Rates(NamedTuple):
    """Steps per second without the edges of a run and with them, and what a call took on average."""

    steady: float
    whole: float
    latency_s: float


def _slow_run() -> _Rates:
    watch = synthetic.Stopwatch()
    with serving(_MODEL_S) as url, tempfile.TemporaryDirectory() as folder:
        stages = StageConfig(proposals=_IN_FLIGHT)
        task = evolve.inline_task("sleeps", _TRIVIAL, sleeps)
        config = RunConfig(steps=_SLOW_STEPS, arms=(f"openai/scripted@{url}",), workers=_IN_FLIGHT, stages=stages)
        config = with_limit(task, config)
        with evolve.Archive.open(Path(folder) / "a.db", create=True) as archive:
            asyncio.run(drive(archive, create(archive, task, config, ""), task, config, watcher=watch))
            with archive.read() as connection:
                latency_s = connection.execute(select(func.avg(call_ends.c.latency_s))).scalar_one()
    at_s = watch.wall_s
    steady = (_SLOW_STEPS - 2 * _EDGE) / (at_s[_SLOW_STEPS - _EDGE] - at_s[_EDGE])
    return _Rates(steady, _SLOW_STEPS / (at_s[-1] - at_s[0]), latency_s)


def sleeps(program: evolve.IsolatedProgram) -> evolve.Score:
    """Takes its time to score a program."""
    result = program.call("run", [1.0])
    time.sleep(_EVALUATOR_S)
    return evolve.Score(float(result))


# CPU of the controller


class _Case(NamedTuple):
    """What a controller is measured with.

    Attributes:
        name: Of the program, and of how many there are.
        program: The initial one.
        size: How many programs the run has already.
        whole: Whether it does all that a user's run does, or neither embeds programs nor makes notes.
    """

    name: str
    program: str
    size: int
    whole: bool = True


_SMALL = _Case("trivial program", _TRIVIAL, 0)
_PLAIN = _Case("6 kB program", synthetic.source(0), 0)
_LARGE = _Case("6 kB program at 10,000 programs", synthetic.source(0), 10_000)
_CASES = [case._replace(whole=whole) for case in (_SMALL, _PLAIN, _LARGE) for whole in (True, False)]


def _controller() -> Iterator[Row]:
    """CPU milliseconds per step of the controller alone, and what of it is the SDK's and HTTP's.

    As the command line makes a run, with novelty by a calibrated distance and counted notes, and without embeddings and notes.
    """
    costs: dict[_Case, list[float]] = {case: [] for case in _CASES}
    with serving() as url, tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(_CASES):
            with evolve.Archive.open(Path(folder) / f"{number}.db", create=True) as archive:
                synthetic.fill(archive, case.size, of=_task(case.program), arm=_arm(url))
        # In turn, several times: a neighbour's load meets all cases alike. The first round is left out.
        for round_ in range(6):
            for number, case in enumerate(_CASES):
                cost = _steps_cost(Path(folder) / f"{number}.db", case, url, case.size + 200 * round_)
                costs[case] += [cost] if round_ else []
        clients = {case: _client_cost(Path(folder) / f"{_CASES.index(case)}.db", url) for case in (_SMALL, _PLAIN)}
    for case in (_SMALL, _PLAIN, _LARGE):
        yield from _controller_rows(case, costs, clients.get(case))


def _controller_rows(case: _Case, costs: Mapping[_Case, Sequence[float]], client_s: float | None) -> Iterator[Row]:
    """Says what a step costs, what of it is the client's, and what it costs without embeddings and notes."""
    bare = case._replace(whole=False)
    whole_ms, bare_ms = (f"{statistics.median(costs[one]) * 1e3:.2f}" for one in (case, bare))
    budget = {_SMALL: "<= 5", _LARGE: "<= 1.2 x the cost at 200"}.get(case, "–")
    against = f", {ratio(costs[case], costs[_PLAIN])} x the cost at 200" if case is _LARGE else ""
    turns = " (median of 5 times 180 steps in turn)" if case is _SMALL else ""
    yield Row(f"controller, zero-latency model, CPU ms per step, {case.name}{turns}", f"{whole_ms}{against}", budget)
    if client_s is not None:
        yield Row("  of which the OpenAI SDK and HTTP", f"{client_s * 1e3:.2f}", "–")
    of_whole = ratio(costs[bare], costs[case])
    yield Row("  the same without embeddings and notes", f"{bare_ms}, {of_whole} x the cost with them", "–")


def _steps_cost(where: Path, case: _Case, url: str, done: int) -> float:
    """CPU seconds per step of 200 more steps of a run; the first 20 fill caches that a long run has full."""
    watch = synthetic.Stopwatch()
    task = _task(case.program)
    config = _config(task, done + 200, url)
    config = config if case.whole else synthetic.bare(config)
    with evolve.Archive.open(where) as archive:
        asyncio.run(drive(archive, 1, task, config, watcher=watch, parts=Parts(executor=FailingExecutor())))
    return (watch.cpu_s[-1] - watch.cpu_s[-181]) / 180


def _client_cost(where: Path, url: str) -> float:
    """CPU seconds of one call by the client alone, with the last prompt of a run."""
    with evolve.Archive.open(where) as archive:
        prompt = list(archive.replies(1).values())[-1].prompt
    messages = tuple(Message(Role(role), text) for role, text in json.loads(prompt))
    request = ModelRequest(messages, max_tokens=8192, seed=1)

    async def call(count: int) -> float:
        client = make_client(parse_spec(f"openai/scripted@{url}"))
        await client.complete(request)
        start = time.process_time()
        for _ in range(count):
            await client.complete(request)
        cost = (time.process_time() - start) / count
        await client.close()
        return cost

    return statistics.median(asyncio.run(call(100)) for _ in range(5))


class FailingExecutor(synthetic.InstantExecutor):
    """Scores at once; one program in ten crashes, for prompts show that too, but never the one that it is given first."""

    def __init__(self, slots: int = 2) -> None:
        super().__init__(slots)
        self._first: Files | None = None

    async def evaluate(self, files: Files, *, seed: int, figure: bool = False, fresh: bool = False) -> Evaluated:
        evaluated = await super().evaluate(files, seed=seed)
        self._first = files if self._first is None else self._first
        number = int(evaluated.evaluation.metrics["length"].value)
        if number % 10 or files == self._first:
            return evaluated
        return Evaluated(Evaluation(Outcome.CRASHED, None, feedback=_TRACE.format(number)))


def _task(program: str) -> Task:
    return evolve.inline_task("synthetic", program, synthetic.scores_nothing)


def _config(task: Task, steps: int, url: str) -> RunConfig:
    """The configuration that the command line would make and record."""
    return with_limit(task, RunConfig(steps=steps, arms=(f"openai/scripted[price=1/4]@{url}",)))


def _arm(url: str) -> str:
    return arm_name(parse_spec(f"openai/scripted[price=1/4]@{url}"), EditKind.DIFF)


# Disk and memory


def _long_run() -> Iterator[Row]:
    """Disk and memory of 3000 steps, in a process of their own."""
    with serving() as url, tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "a.db"
        found = _probed("long_run", str(where), url)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        with evolve.Archive.open(where) as archive:
            replies = archive.replies(1).values()
        prompt_kb = statistics.mean(len(reply.prompt) for reply in replies) / 1e3
        reply_kb = statistics.mean(len(reply.text) for reply in replies) / 1e3
    text = f"{prompt_kb:.0f} kB prompts and {reply_kb:.1f} kB replies (mean; four kinds of edits)"
    yield Row(f"disk for 3000 model steps of 6 kB programs with {text}, MB", f"{size / 1e6:.1f}", "<= 30")
    yield Row("memory of the controller after 3000 model steps, MB", f"{found['peak_mb']:.0f}", "<= 250")
    yield Row("  of which before the first step", f"{found['before_mb']:.0f}", "–")


def long_run(where: str, url: str) -> dict[str, float]:
    """Makes a run of 3000 steps and says what memory it took."""
    make_client(parse_spec(f"openai/scripted@{url}"))
    before_mb = peak_mb()
    task = _task(synthetic.source(0))
    config = _config(task, 3000, url)
    with evolve.Archive.open(where, create=True) as archive:
        number = create(archive, task, config, "")
        asyncio.run(drive(archive, number, task, config, parts=Parts(executor=FailingExecutor())))
    return {"before_mb": before_mb, "peak_mb": peak_mb()}


# Resume


def _resume() -> Iterator[Row]:
    """CPU seconds of taking up a run of 10 000 model steps, in a process of its own."""
    with serving() as url, tempfile.TemporaryDirectory() as folder:
        where = str(Path(folder) / "a.db")
        with evolve.Archive.open(where, create=True) as archive:
            synthetic.fill(archive, 10_000, prompts=True, arm=_arm(url))
        found = [_probed("resumed", where, url) for _ in range(3)]
    cpu_s, client_s = (statistics.median(one[name] for one in found) for name in ("cpu_s", "client_s"))
    yield Row("reading and folding a run of 10,000 model steps, CPU s (median of 3)", f"{cpu_s:.2f}", "<= 1")
    yield Row("  importing the OpenAI SDK and making a client, CPU s, not counted there", f"{client_s:.2f}", "–")


def resumed(where: str, url: str) -> dict[str, float]:
    """Takes up a finished run and says what that cost."""
    # Found when a run begins and recorded with it: taking it up does not look for the limit again.
    config = _config(synthetic.task(), 10_000, url)
    start = time.process_time()
    make_client(parse_spec(f"openai/scripted@{url}"))
    made = time.process_time()
    with evolve.Archive.open(where) as archive:
        asyncio.run(drive(archive, 1, synthetic.task(), config, parts=Parts(executor=FailingExecutor())))
    return {"client_s": made - start, "cpu_s": time.process_time() - made}


# Imports


def _imports() -> Iterator[Row]:
    """CPU seconds of importing what drives a run, and which packages for models that brings in."""
    command = [sys.executable, "-c", "import evolve.session"]
    child_cpu_s(command)
    cpu_s = statistics.median(child_cpu_s(command) for _ in range(9))
    probe = f"import sys, evolve.session; print(*[name for name in {_LATE!r} if name in sys.modules])"
    late = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.strip()
    yield Row("`import evolve.session`, CPU s (median of 9)", f"{cpu_s:.3f}", "–")
    yield Row(f"  of {', '.join(_LATE)} it imports", late or "none", "none")


def _probed(name: str, *words: str) -> dict[str, float]:
    """Calls one of `PROBES` in a process of its own."""
    answer = subprocess.run([sys.executable, __file__, name, *words], stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


PROBES = {function.__name__: function for function in (long_run, resumed)}

if __name__ == "__main__":
    print(json.dumps(PROBES[sys.argv[1]](*sys.argv[2:])))
