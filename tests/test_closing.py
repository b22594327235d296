"""What comes after the last step; what whole runs do of it is in `test_noisy_runs` and `test_held_out`."""

import pytest

import evolve
from evolve.closing import final_seed
from evolve.program import Objective
from evolve.rng import derived_seed
from evolve.stages import StageConfig

SOURCE = "import random\n# EVOLVE-BLOCK-START\nX = 1.0\n# EVOLVE-BLOCK-END\n\ndef where():\n    return X, random.random()\n"


def test_a_best_that_fails_when_it_is_measured_afresh_has_no_interval_and_the_user_is_told(tmp_path, caplog):
    finishing = tmp_path / "finishing"

    def holdout(program):
        finishing.touch()
        return evolve.Score(0.0)

    def evaluate(program):
        x, noise = program.call("where")
        if finishing.exists():
            raise evolve.Invalid("not any more")
        return evolve.Score(noise - abs(x - 3.0))

    task = evolve.inline_task("fickle", SOURCE, evaluate, holdout=holdout, objective=Objective(repeats=2))
    run = evolve.run(task, steps=3, seed=1, archive=tmp_path / "a.db")
    assert run.summary()["best"]["interval"] is None
    assert run.summary()["initial"]["objective"] is not None
    assert "failed when it was measured afresh: invalid" in caplog.text


def test_seeds_are_new_ones_where_a_task_is_measured_with_several():
    several = Objective(repeats=2)
    seeds = {final_seed(7, number, several) for number in range(8)}
    assert len(seeds) == 8
    assert seeds.isdisjoint({7, *(derived_seed(7, number, purpose) for number in range(8) for purpose in ("repeat", "verify"))})
    assert final_seed(7, 3, Objective(tolerance=0.1)) == 7


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"measurements": 1}, "measurements must be >= 2, got 1; verify = false evaluates once"),
        ({"final_measurements": 1}, "final_measurements must be 0, or at least 2 to have a spread, got 1"),
        ({"final_measurements": -1}, "got -1"),
    ],
)
def test_numbers_that_measure_nothing_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        StageConfig(**settings)
