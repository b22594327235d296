import ast
import asyncio
import time

import pytest

from evolve.edits import mutable_regions
from evolve.evaluators.packing import check_packing, split_answer
from evolve.executors.local import LocalExecutor
from evolve.program import Evaluation, Outcome
from evolve.tasks.catalog import find

TASK = find("circle_packing")


@pytest.fixture(scope="module")
def evaluations() -> dict[str, Evaluation]:
    """The initial program's evaluation and every attack's, by path."""
    sources = {"initial.py": TASK.files["initial.py"]}
    sources |= {attack.path: (TASK.folder / attack.path).read_text(encoding="utf-8") for attack in TASK.attacks}

    async def evaluate() -> list[Evaluation]:
        async with LocalExecutor(TASK, workers=2, evaluator_grace_s=60.0) as executor:
            calls = [executor.evaluate({"initial.py": source}, seed=0) for source in sources.values()]
            return [evaluated.evaluation for evaluated in await asyncio.gather(*calls)]

    return dict(zip(sources, asyncio.run(evaluate()), strict=True))


def test_the_initial_program_scores_what_the_readme_says(evaluations):
    # 25 circles of 0.0375, and one of 0.02.
    assert evaluations["initial.py"].objective == pytest.approx(0.9575, abs=1e-12)


def test_the_initial_program_is_told_how_far_it_is_to_go(evaluations):
    assert "best known 2.635983084918, 1.678483084918 to go" in evaluations["initial.py"].feedback


@pytest.mark.parametrize("attack", TASK.attacks, ids=lambda attack: attack.path)
def test_no_attack_gains(attack, evaluations):
    evaluation = evaluations[attack.path]
    if attack.ceiling is None:
        assert evaluation.outcome in (Outcome.INVALID, Outcome.CRASHED)
    else:
        assert evaluation.objective is not None
        assert evaluation.objective <= attack.ceiling


def test_every_attack_on_disk_is_listed():
    on_disk = {f"attacks/{path.name}" for path in (TASK.folder / "attacks").glob("*.py")}
    assert on_disk == {attack.path for attack in TASK.attacks}


def test_only_the_packing_may_change():
    source = TASK.files["initial.py"]
    [region] = mutable_regions(TASK.files)["initial.py"]
    assert source[region.start : region.end].lstrip().startswith("def pack(n):")


def test_the_initial_program_holds_no_table_of_coordinates():
    tree = ast.parse(TASK.files["initial.py"])
    assert sum(isinstance(node, ast.Constant) and isinstance(node.value, float) for node in ast.walk(tree)) < 26


def test_the_layout_leaves_room_for_the_grid():
    """The 5 x 5 grid with a circle in a gap is one setting of the initial program's numbers."""
    source = TASK.files["initial.py"]
    for old, new in [
        ("square = 0.5", "square = 1.0"),
        # tan(pi / 8 + warp) = 1 / 2
        ("ring(16, 0.42, square, 0.05)", "ring(16, 0.4, square, 0.07094853)"),
        ("ring(8, 0.22, square)", "ring(8, 0.2, square)"),
        ("spare = (0.25, 0.3)", "spare = (0.2, 0.2)"),
        ("[0.0375] * 25 + [0.02]", "[0.1] * 25 + [0.0414213562]"),
    ]:
        assert old in source
        source = source.replace(old, new)
    namespace: dict[str, object] = {}
    exec(source, namespace)
    answer = split_answer(namespace["pack"](26))
    assert check_packing(answer.centers, answer.radii, 26).sum_of_radii == pytest.approx(2.5414213562, abs=1e-6)


def test_a_check_costs_a_few_milliseconds():
    places = [(0.1 + 0.2 * i, 0.1 + 0.2 * j) for i in range(5) for j in range(5)] + [(0.2, 0.2)]
    radii = [0.1] * 25 + [0.0414213562]
    # The quickest of several, in CPU seconds: a busy machine can only slow them down. Measured: 1 ms and 1 ms.
    durations = []
    for _ in range(10):
        start = time.process_time()
        report = check_packing(places, radii, 26)
        assert report.text
        durations.append(time.process_time() - start)
    assert min(durations) < 0.02
