import asyncio

import numpy as np
import pytest

from evolve.edits import mutable_regions
from evolve.evaluators.placement import catalog
from evolve.evaluators.placement.placement import check_maps, split_maps
from evolve.evaluators.placement.problem import Problem, ProblemConfig
from evolve.executors.local import LocalExecutor
from evolve.program import Evaluation, Outcome
from evolve.tasks.catalog import find

TASK = find("eplb_adrs")
#: Nodes, GPUs, slots, groups, experts. In some, groups stay where they are, or a GPU has one slot, or groups divide not over nodes.
SIZES = [
    (2, 4, 12, 4, 8),
    (2, 4, 12, 2, 8),
    (4, 32, 288, 8, 256),
    (2, 8, 8, 4, 8),
    (1, 4, 16, 1, 9),
    (2, 4, 16, 3, 12),
    (4, 4, 8, 1, 8),
]


def rebalance(text):
    names: dict = {}
    exec(text, names)
    return names["rebalance_experts"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("size", SIZES)
def test_the_initial_program_is_deepseeks_hierarchical_policy_with_all_three_maps(size, seed):
    nodes, gpus, slots, groups, experts = size
    # Large loads: the catalog computes in single precision, as published, the initial program in double, and what differs by less
    # than 1e-7 of itself is a tie for one of them alone. Small whole numbers, divided, do.
    weight = np.random.default_rng(seed).lognormal(14, 1, (3, experts)).astype(np.int64).astype(float)
    expected = rebalance(catalog.source("deepseek_hierarchical", entry="rebalance"))(weight, slots, groups, nodes, gpus)
    found = rebalance(TASK.files["initial.py"])(weight, slots, groups, nodes, gpus)
    assert [array.tolist() for array in found] == [array.tolist() for array in expected]
    assert np.array_equal(check_maps(split_maps(found), 3, slots, experts), found[0])


def test_all_but_imports_may_change():
    source = TASK.files["initial.py"]
    [region] = mutable_regions(TASK.files)["initial.py"]
    assert "def rebalance_experts(weight, num_replicas, num_groups, num_nodes, num_gpus):" in source[region.start : region.end]
    assert "import" in source[: region.start]


def test_every_attack_on_disk_is_listed():
    assert {f"attacks/{path.name}" for path in (TASK.folder / "attacks").glob("*.py")} == {attack.path for attack in TASK.attacks}


def test_baselines_are_programs_of_the_catalog_and_hold_every_policy_that_needs_no_placement_before():
    texts = {baseline.name: baseline.modules for baseline in TASK.baselines if baseline.modules}
    assert set(texts) == {name for name, policy in catalog.POLICIES.items() if not policy.migrates}
    for name, modules in texts.items():
        assert modules == catalog.modules_of(name, entry="rebalance")


def test_the_settings_are_the_leaderboards_sizes():
    config = ProblemConfig.read(TASK.folder / "placement.toml")
    [scenario] = Problem(config, TASK.folder).scenarios("search", range(1))
    cluster, trace = scenario.cluster, scenario.trace
    assert (cluster.nodes, cluster.gpus, cluster.slots, trace.layers, trace.experts) == (4, 32, 288, 58, 256)


@pytest.mark.slow
def test_a_program_has_no_helpers():
    source = TASK.files["initial.py"] + "\nimport os\n\nos.fork()\n"

    async def evaluate() -> Evaluation:
        async with LocalExecutor(TASK, workers=1, evaluator_grace_s=60.0) as executor:
            return (await executor.evaluate({"initial.py": source}, seed=0)).evaluation

    evaluation = asyncio.run(evaluate())
    assert evaluation.outcome is Outcome.CRASHED
    assert "limits.max_processes = 1" in evaluation.feedback


@pytest.fixture(scope="module")
def evaluations() -> dict[str, Evaluation]:
    """The initial program's evaluation and every attack's, by path."""
    sources = {"initial.py": TASK.files["initial.py"]}
    sources |= {attack.path: (TASK.folder / attack.path).read_text(encoding="utf-8") for attack in TASK.attacks}

    async def evaluate() -> list[Evaluation]:
        async with LocalExecutor(TASK, workers=1, evaluator_grace_s=60.0) as executor:
            calls = [executor.evaluate({"initial.py": source}, seed=0) for source in sources.values()]
            return [evaluated.evaluation for evaluated in await asyncio.gather(*calls)]

    return dict(zip(sources, asyncio.run(evaluate()), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("attack", TASK.attacks, ids=lambda attack: attack.path)
def test_no_attack_scores(attack, evaluations):
    evaluation = evaluations[attack.path]
    assert evaluation.outcome in (Outcome.INVALID, Outcome.CRASHED)
    told = {
        "attacks/duplicate_slots.py": "names slot 0 2 times",
        "attacks/gap_in_row.py": "has -1 at place 0",
        "attacks/wrong_counts.py": "logcnt says that expert 0 of layer 0 has 4 replicas",
        "attacks/no_replicas.py": "expert 8 of layer 0 lies in no slot",
        "attacks/edits_weight.py": "assignment destination is read-only",
        "attacks/caches.py": "must depend on its arguments alone",
    }
    assert told[attack.path] in evaluation.feedback


@pytest.mark.slow
def test_the_initial_program_is_as_fast_as_the_reference_and_wastes_few_replicas(evaluations):
    evaluation = evaluations["initial.py"]
    assert evaluation.outcome is Outcome.OK, evaluation.feedback
    metrics = {name: metric.value for name, metric in evaluation.metrics.items()}
    assert 0 < metrics["balancedness_gpu"] < 1
    # Both are the same algorithm; a busy machine may disturb either.
    assert metrics["speed"] > 0.2
    assert metrics["nodes_per_group"] == 1.0
    assert metrics["wasted"] < 32
    assert evaluation.objective < 90 * metrics["balancedness_gpu"] + 10
