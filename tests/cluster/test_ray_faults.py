"""What a cluster does to evaluations: workers, nodes and heads that die, stop or come."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ray_kit import PATIENCE_S, RayCluster, environment

from evolve.evaluators.base import Score
from evolve.executors.cluster import ClusterConfig, RayExecutor, parse
from evolve.program import Isolation, Limits, Outcome, Task

pytestmark = pytest.mark.cluster

PROGRAM = {"initial.py": "def f(x):\n    return 2 * x\n"}


def gated(folder: Path):
    """An evaluator that says that it has begun, and waits, the first time, until it is let go on."""

    def evaluate(program):
        begun = Path(folder, "begun")
        first = not begun.exists()
        with begun.open("a") as file:
            file.write(f"{os.getpid()}\n")
        give_up_at = time.monotonic() + 120
        while first and not Path(folder, "go").exists() and time.monotonic() < give_up_at:
            time.sleep(0.02)
        return Score(program.call("f", 21))

    return evaluate


def task(evaluate, **more):
    return Task(
        "t",
        PROGRAM,
        limits=Limits(timeout_s=1.0, wall_timeout_s=2.0, memory_mb=128),
        evaluate=evaluate,
        evaluator_sha256="ab",
        **more,
    )


def attempts(folder: Path) -> int:
    return len(Path(folder, "begun").read_text().split())


async def until(holds, timeout_s=PATIENCE_S):
    async with asyncio.timeout(timeout_s):
        while not holds():
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def clusters(*nodes: str, head: str = "--num-cpus=0"):
    """A cluster of its own for a test that harms it; the head evaluates nothing unless it says so."""
    with RayCluster(head) as started, environment(started.tokens):
        for options in nodes:
            started.add_node(*options.split())
        yield started


def one_evaluation(cluster, folder, harm, *, grace_s=60.0, way="address", **more):
    """Evaluates a program, does harm once it has begun, and returns the evaluation."""

    async def evaluate():
        address = parse(getattr(cluster, way))
        async with RayExecutor(task(gated(folder), **more), address, 1, evaluator_grace_s=grace_s) as executor:
            evaluation = asyncio.create_task(executor.evaluate(PROGRAM, seed=0))
            await until(Path(folder, "begun").exists)
            await asyncio.to_thread(harm)
            async with asyncio.timeout(PATIENCE_S * 2):
                return (await evaluation).evaluation

    return asyncio.run(evaluate())


def node_of(cluster, folder):
    """The node that runs the evaluation."""
    pid = int(Path(folder, "begun").read_text().split()[0])
    return next(node for node in cluster.nodes if pid in node.pids)


def test_a_worker_that_is_killed_costs_a_retry_only(tmp_path):
    with clusters("--num-cpus=1") as cluster:

        def harm():
            for pid in cluster.nodes[1].workers:
                os.kill(pid, signal.SIGKILL)

        evaluation = one_evaluation(cluster, tmp_path, harm)
    assert (evaluation.outcome, evaluation.objective, attempts(tmp_path)) == (Outcome.OK, 42.0, 2)


@pytest.mark.parametrize("what", ["raylet", "node"])
def test_a_node_that_dies_costs_a_retry_on_another(tmp_path, what):
    with clusters("--num-cpus=1", "--num-cpus=1") as cluster:

        def harm():
            node = node_of(cluster, tmp_path)
            os.kill(node.raylet, signal.SIGKILL) if what == "raylet" else node.kill()

        evaluation = one_evaluation(cluster, tmp_path, harm)
    assert (evaluation.outcome, evaluation.objective, attempts(tmp_path)) == (Outcome.OK, 42.0, 2)


def test_a_node_that_stands_still_costs_a_retry_on_another(tmp_path):
    with clusters("--num-cpus=1", "--num-cpus=1") as cluster:

        def harm():
            for pid in node_of(cluster, tmp_path).pids:
                os.kill(pid, signal.SIGSTOP)

        evaluation = one_evaluation(cluster, tmp_path, harm, grace_s=2.0)
    assert (evaluation.outcome, evaluation.objective, attempts(tmp_path)) == (Outcome.OK, 42.0, 2)


def test_a_head_that_is_started_again_costs_a_retry(tmp_path):
    with clusters(head="--num-cpus=1") as cluster:

        def harm():
            cluster.head.kill()
            cluster.restart_head()

        evaluation = one_evaluation(cluster, tmp_path, harm)
    assert (evaluation.outcome, evaluation.objective, attempts(tmp_path)) == (Outcome.OK, 42.0, 2)


def test_a_program_that_ends_its_ray_worker_twice_is_crashed(cluster):
    killer = (
        "import os\n\ndef f(x):\n    pid = os.getpid()\n    while True:\n"
        "        pid = int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[1])\n"
        "        if b'ray::' in open(f'/proc/{pid}/cmdline', 'rb').read():\n            os.kill(pid, 9)\n            return x\n"
    )

    def evaluate(program):
        return Score(program.call("f", 21))

    async def twice():
        address = parse(cluster.address)
        async with RayExecutor(task(evaluate), address, 1, Isolation.PROCESS, evaluator_grace_s=60.0) as executor:
            fatal = (await executor.evaluate({"initial.py": killer}, seed=0)).evaluation
            return fatal, (await executor.evaluate(PROGRAM, seed=0)).evaluation

    fatal, after = asyncio.run(twice())
    assert fatal.outcome is Outcome.CRASHED
    assert "ended twice" in fatal.feedback
    assert after.objective == 42.0


def test_a_node_that_joins_is_given_work(tmp_path):
    def evaluate(program):
        return Score(program.call("f", 21))

    async def grow(cluster):
        async with RayExecutor(task(evaluate), parse(cluster.address), evaluator_grace_s=60.0) as executor:
            before = executor.slots
            await asyncio.to_thread(cluster.add_node, "--num-cpus=6")
            await until(lambda: executor.slots > before)
            calls = (executor.evaluate({**PROGRAM, "n.txt": str(n)}, seed=0) for n in range(8))
            found = await asyncio.gather(*calls)
            return before, executor.slots, [evaluated.evaluation.objective for evaluated in found]

    with clusters(head="--num-cpus=1") as cluster:
        before, after, objectives = asyncio.run(grow(cluster))
    assert (before, after) == (2, 8)
    assert objectives == [42.0] * 8


def test_an_evaluation_waits_for_the_resources_that_its_task_names(tmp_path):
    def evaluate(program):
        return Score(program.call("f", 21))

    async def wait(cluster):
        named = task(evaluate, resources={"oven": 1})
        entering = asyncio.create_task(RayExecutor(named, parse(cluster.address), 1).__aenter__())
        done, _ = await asyncio.wait([entering], timeout=3)
        await asyncio.to_thread(cluster.add_node, "--num-cpus=1", '--resources={"oven":1}')
        executor = await entering
        try:
            return done, (await executor.evaluate(PROGRAM, seed=0)).evaluation.objective
        finally:
            await executor.__aexit__(None, None, None)

    with clusters(head="--num-cpus=1") as cluster:
        assert asyncio.run(wait(cluster)) == (set(), 42.0)


def test_a_cluster_that_stays_lost_ends_the_run_with_a_word_on_how_to_go_on(tmp_path):
    async def lose(cluster):
        config = ClusterConfig(patience_s=15.0)  # a first worker starts in two seconds, on a busy machine in five
        async with RayExecutor(task(gated(tmp_path)), parse(cluster.address), 1, config=config) as executor:
            evaluation = asyncio.create_task(executor.evaluate(PROGRAM, seed=0))
            await until(Path(tmp_path, "begun").exists)
            await asyncio.to_thread(cluster.head.kill)
            await evaluation

    with clusters(head="--num-cpus=1") as cluster, pytest.raises(Exception, match="evolve resume"):
        asyncio.run(lose(cluster))


def test_what_waits_for_a_place_is_demand_that_an_autoscaler_sees(tmp_path):
    async def demand(cluster):
        async with RayExecutor(task(gated(tmp_path)), parse(cluster.address), 6, evaluator_grace_s=60.0) as executor:
            evaluations = [asyncio.create_task(executor.evaluate({**PROGRAM, "n.txt": str(n)}, seed=0)) for n in range(8)]
            await until(Path(tmp_path, "begun").exists)
            status = [sys.executable, "-m", "ray.scripts.scripts", "status", f"--address={cluster.address}"]
            found = ""
            give_up_at = time.monotonic() + PATIENCE_S
            # Six are in flight, of which one has a place; how many of the others Ray counts varies with when it looks.
            while not re.search(r"[1-9]\d*\+ pending", found) and time.monotonic() < give_up_at:
                found = (await asyncio.to_thread(subprocess.run, status, check=True, capture_output=True, text=True)).stdout
            Path(tmp_path, "go").touch()
            await asyncio.gather(*evaluations)
            return found

    with clusters(head="--num-cpus=1") as cluster:
        assert re.search(r"[1-9]\d*\+ pending", asyncio.run(demand(cluster)))
