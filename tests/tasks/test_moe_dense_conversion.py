import asyncio

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.edits import mutable_regions
from evolve.executors.local import LocalExecutor
from evolve.program import Evaluation, Outcome
from evolve.tasks.catalog import find

TASK = find("moe_dense_conversion")
#: It is honest in `smoke` and found out behind the training of a dense model, which takes several seconds.
LATE = "attacks/unequal_later.py"


@pytest.fixture(scope="module")
def evaluations() -> dict[str, Evaluation]:
    """One measurement of the initial program, and every attack's evaluation, by path."""
    attacks = {attack.path: (TASK.folder / attack.path).read_text(encoding="utf-8") for attack in TASK.attacks}

    async def evaluate() -> list[Evaluation]:
        async with LocalExecutor(TASK, workers=2) as executor:
            initial = executor.paired({"initial.py": TASK.files["initial.py"]}, seed=0)
            calls = [executor.evaluate({"initial.py": source}, seed=0) for source in attacks.values()]
            return [evaluated.evaluation for evaluated in await asyncio.gather(initial, *calls)]

    return dict(zip(["initial.py", *attacks], asyncio.run(evaluate()), strict=True))


@pytest.mark.slow
def test_the_initial_program_loses_little_of_the_dense_model(evaluations):
    evaluation = evaluations["initial.py"]
    assert evaluation.outcome is Outcome.OK, evaluation.feedback
    lost = evaluation.metrics["lost"].value
    # Measured: 0.02 to 0.04. Without distillation it is 0.2 and more, a random cut loses a fifth more.
    assert 0 < lost < 0.06
    assert evaluation.objective == pytest.approx(evaluation.metrics["dense_cross_entropy"].value + lost)
    assert set(evaluation.instances) == {"model 0"}
    assert "nats per byte" in evaluation.feedback


@pytest.mark.slow
@pytest.mark.parametrize("attack", TASK.attacks, ids=lambda attack: attack.path)
def test_no_attack_scores(attack, evaluations):
    evaluation = evaluations[attack.path]
    assert evaluation.outcome is Outcome.INVALID
    assert evaluation.feedback.startswith(("assign", "distillation"))
    assert (evaluation.stage == "smoke") == (attack.path != LATE)


def test_every_attack_and_baseline_on_disk_is_listed():
    assert {f"attacks/{path.name}" for path in (TASK.folder / "attacks").glob("*.py")} == {attack.path for attack in TASK.attacks}
    on_disk = {f"baselines/{path.name}" for path in (TASK.folder / "baselines").glob("*.py")}
    assert {baseline.path for baseline in TASK.baselines} == {"initial.py", *on_disk}


def test_what_does_not_belong_to_the_method_may_not_change():
    source = TASK.files["initial.py"]
    [region] = mutable_regions(TASK.files)["initial.py"]
    assert "def assign(" in source[region.start : region.end]
    assert "def distillation(" in source[region.start : region.end]


def test_the_initial_program_weighs_terms_as_published():
    namespace: dict[str, object] = {}
    exec(TASK.files["initial.py"], namespace)
    assert namespace["distillation"]("shared", 0, 20) == {"output": 1.0, "features": 1.0, "balance": 0.01}
    split = namespace["assign"](np.arange(32.0)[None], None, None, 8, 12)
    assert np.bincount(split[0]).tolist() == [8, *[2] * 12]
