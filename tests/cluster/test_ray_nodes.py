"""Nodes that are not alike: other code, other files, other levels, little room."""

from __future__ import annotations

import asyncio
import os
import shutil
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from ray_kit import RayCluster, environment

from evolve.errors import ExecutorError, IsolationError
from evolve.executors.cluster import RayExecutor, parse
from evolve.program import Isolation, Limits, Task
from evolve.tasks.base import load

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
#: Starts a command where bubblewrap cannot be run.
NO_BUBBLEWRAP = ["unshare", "--mount", "sh", "-c", f'mount --bind /dev/null {shutil.which("bwrap")} && exec "$@"', "sh"]
PROGRAM = {"initial.py": "def f(x):\n    return 2 * x\n"}


@pytest.fixture
def folder(tmp_path):
    """A task whose evaluator reads a file of its folder."""
    where = tmp_path / "scaled"
    where.mkdir()
    (where / "task.toml").write_text(
        'name = "scaled"\nprogram = ["initial.py"]\ndata = ["factor.txt"]\n[limits]\nmemory_mb = 128\n'
    )
    (where / "initial.py").write_text(PROGRAM["initial.py"])
    (where / "factor.txt").write_text("10")
    (where / "evaluate.py").write_text(
        "from pathlib import Path\nfrom evolve.evaluators.base import Score\n\n\ndef evaluate(program):\n"
        "    return Score(program.call('f', 21) * float(Path(__file__).with_name('factor.txt').read_text()))\n"
    )
    return where


def evaluations(cluster, task, count=1, isolation=None, workers=4):
    """Evaluates the initial program so many times at once, on a new executor; returns the evaluations."""

    async def all_at_once():
        async with RayExecutor(task, parse(cluster.address), workers, isolation, evaluator_grace_s=60.0) as executor:
            calls = (executor.evaluate(task.files, seed=number) for number in range(count))
            return [evaluated.evaluation for evaluated in await asyncio.gather(*calls)]

    return asyncio.run(all_at_once())


def test_the_files_of_a_task_travel_and_are_never_stale(cluster, folder):
    assert evaluations(cluster, load(folder, "folder"))[0].objective == 420.0
    (folder / "factor.txt").write_text("100")
    changed = load(folder, "folder")
    shutil.rmtree(folder)  # nothing of it is read from here any more, once it is packed: no node has it
    folder.mkdir()
    for name, text in (("factor.txt", "100"), ("evaluate.py", _evaluator())):
        (folder / name).write_text(text)
    assert evaluations(cluster, changed)[0].objective == 4200.0


def _evaluator():
    return (
        "from pathlib import Path\nfrom evolve.evaluators.base import Score\n\n\ndef evaluate(program):\n"
        "    return Score(program.call('f', 21) * float(Path(__file__).with_name('factor.txt').read_text()))\n"
    )


def test_what_a_node_keeps_of_a_task_is_looked_at_again_before_it_is_used(cluster, folder, monkeypatch):
    task = load(folder, "folder")
    evaluations(cluster, task)
    kept = list(Path("/tmp", f"evolve-parcels-{os.getuid()}").glob("*/folder/scaled/factor.txt"))
    mine = [path for path in kept if path.read_text() == "10"]
    assert mine
    for path in mine:
        path.write_text("666")
    assert evaluations(cluster, task)[0].objective == 420.0


def other_evolve(where: Path) -> Path:
    """A copy of this package with one evaluator changed, as an older installation would have it."""
    for package, source in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"].items():
        shutil.copytree(ROOT / source, where.joinpath(*package.split(".")), dirs_exist_ok=True)
    with (where / "evolve" / "evaluators" / "packing.py").open("a") as file:
        file.write("\n# as it was\n")
    return where


def test_a_node_where_another_evolve_is_installed_is_left_out(tmp_path, folder):
    task = load(folder, "folder")
    with RayCluster("--num-cpus=0") as cluster, environment(cluster.tokens):
        cluster.add_node("--num-cpus=2", variables={"PYTHONPATH": str(other_evolve(tmp_path / "other"))})
        with pytest.raises(ExecutorError, match="another evolve is installed there"):
            evaluations(cluster, task)
        cluster.add_node("--num-cpus=2")
        found = evaluations(cluster, task, count=6)
    assert [evaluation.objective for evaluation in found] == [420.0] * 6


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts take root")
def test_the_level_found_on_each_node_is_recorded_and_a_weaker_node_is_left_out_when_asked(folder):
    # Slow: where evaluations are over at once, the first worker process that is ready takes them all.
    (folder / "evaluate.py").write_text(f"import time\n{_evaluator()}".replace("    return", "    time.sleep(0.3)\n    return"))
    task = load(folder, "folder")
    with RayCluster("--num-cpus=0") as cluster, environment(cluster.tokens):
        cluster.add_node("--num-cpus=2", prefix=NO_BUBBLEWRAP)
        with pytest.raises(IsolationError, match="strong is not available"):
            evaluations(cluster, task, isolation=Isolation.STRONG)
        cluster.add_node("--num-cpus=2")
        mixed = Counter(evaluation.isolation for evaluation in evaluations(cluster, task, count=40))
        strong = Counter(evaluation.isolation for evaluation in evaluations(cluster, task, count=8, isolation=Isolation.STRONG))
    assert set(mixed) == {Isolation.LANDLOCK, Isolation.STRONG}
    assert set(strong) == {Isolation.STRONG}


def test_a_task_larger_than_the_object_store_arrives(folder):
    (folder / "noise.bin").write_bytes(os.urandom(100 * 2**20))
    task = load(folder, "folder")
    with RayCluster("--num-cpus=0", "--object-store-memory=80000000") as cluster, environment(cluster.tokens):
        cluster.add_node("--num-cpus=1", "--object-store-memory=80000000")
        assert evaluations(cluster, task)[0].objective == 420.0


def test_a_node_of_fractional_accelerators_holds_as_many_evaluations(tmp_path):
    def evaluate(program):
        from evolve.evaluators.base import Score

        return Score(float(os.environ["CUDA_VISIBLE_DEVICES"].count(",") + 1) if os.environ["CUDA_VISIBLE_DEVICES"] else 0.0)

    task = Task("gpu", PROGRAM, limits=Limits(gpus=0.5, memory_mb=128), evaluate=evaluate, evaluator_sha256="ab")

    async def slots(cluster):
        async with RayExecutor(task, parse(cluster.address), evaluator_grace_s=60.0) as executor:
            found = await asyncio.gather(*(executor.evaluate(PROGRAM, seed=0) for _ in range(2)))
            return executor.slots, [evaluated.evaluation.objective for evaluated in found]

    with RayCluster("--num-cpus=4", "--num-gpus=1") as cluster, environment(cluster.tokens):
        assert asyncio.run(slots(cluster)) == (3, [1.0, 1.0])
