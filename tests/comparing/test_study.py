import signal
from contextlib import contextmanager

import pytest

import evolve
from evolve.comparing.curves import Axis
from evolve.comparing.library import carry_out, chosen_axis
from evolve.comparing.study import Difference, differences, make_study
from evolve.comparing.variants import Variant, parse_variants
from evolve.config import resolve
from evolve.errors import ConfigError, TaskError
from evolve.program import Objective

SOURCE = "# EVOLVE-BLOCK-START\ndef where():\n    return 1.0\n# EVOLVE-BLOCK-END\n"
TWO = ["default", "default[islands.n_islands=1]"]
STEPS = 12


def height(program):
    return evolve.Score(-abs(program.call("where") - 3.0))


def height_elsewhere(program):
    return evolve.Score(-100.0 - abs(program.call("where") - 3.0))


def peak(**more):
    return evolve.inline_task("peak", SOURCE, height, **more)


def study_of(task, seeds=(0, 1), steps=STEPS):
    def resolve_one(variant, seed):
        options = {**variant.table, "strategy": variant.strategy, "seed": seed, "steps": steps, "workers": 1}
        return resolve(task, options=options)

    return make_study(task, parse_variants(TWO), seeds, resolve_one)


def driven(where):
    """Of every run of an archive by name: when its latest session began, and how many steps were done."""
    with evolve.Archive.open(where) as archive:
        numbers = archive.run_numbers()
        return {
            archive.run_record(number).name: (archive.session(number).began_at, len(archive.history(number)[0]) - 1)
            for number in numbers
        }


class Stopper:
    """Presses Ctrl-C after some steps, as a person would who watches the whole study."""

    def __init__(self, after):
        self._left = after

    def settled(self, addition, finished, search):
        self._left -= 1
        if self._left == 0:
            signal.raise_signal(signal.SIGINT)

    @contextmanager
    def watch(self, run):
        yield self


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A comparison that nothing interrupted, and its archive."""
    where = tmp_path_factory.mktemp("whole") / "a.db"
    return carry_out(study_of(peak(holdout=height_elsewhere)), where), where


def test_every_strategy_runs_with_every_seed_seed_by_seed(whole):
    comparison, where = whole
    assert list(driven(where)) == [f"peak/{label}/{seed}" for seed in (0, 1) for label in TWO]
    assert [result.strategy for result in comparison.strategies] == TWO
    assert {steps for _, steps in driven(where).values()} == {STEPS}
    assert [test.first for test in comparison.tests] == ["default"]


def test_a_strategys_values_are_those_of_plain_runs_with_its_settings(whole, tmp_path):
    comparison, _ = whole
    task = peak(holdout=height_elsewhere)
    run = evolve.run(task, steps=STEPS, seed=1, settings={"islands": {"n_islands": 1}}, archive=tmp_path / "b.db")
    assert comparison.strategy(TWO[1]).values[1] == run.best_objective
    [_, result] = comparison.strategy(TWO[1]).runs
    assert (result.initial, result.program) == (-2.0, run.best.program_id)


def test_held_out_values_stand_beside_the_results(whole):
    comparison, _ = whole
    for result in comparison.strategies:
        assert [run.holdout for run in result.runs] == [-100.0 + run.value for run in result.runs]


def test_what_is_finished_is_not_run_again(whole):
    comparison, where = whole
    before = driven(where)
    again = carry_out(study_of(peak(holdout=height_elsewhere)), where)
    assert driven(where) == before
    assert [result.values for result in again.strategies] == [result.values for result in comparison.strategies]


def test_fewer_steps_are_read_off_the_same_runs(whole):
    comparison, where = whole
    before = driven(where)
    fewer = carry_out(study_of(peak(holdout=height_elsewhere), steps=STEPS // 2), where)
    assert driven(where) == before
    for result, half in zip(comparison.strategies, fewer.strategies, strict=True):
        assert half.values == result.checkpoints[1].values


@pytest.mark.parametrize("at_once", [1, 3])
def test_an_interrupted_study_is_taken_up_and_comes_to_the_same(whole, tmp_path, at_once):
    comparison, _ = whole
    where = tmp_path / "a.db"
    study = study_of(peak(holdout=height_elsewhere))
    assert carry_out(study, where, watch=Stopper(STEPS + 6).watch, runs_at_once=at_once) is None
    cut = driven(where)
    assert 0 < sum(steps for _, steps in cut.values()) < 4 * STEPS
    resumed = carry_out(study, where, runs_at_once=at_once)
    assert {steps for _, steps in driven(where).values()} == {STEPS}
    assert [result.values for result in resumed.strategies] == [result.values for result in comparison.strategies]
    if at_once == 1:
        assert driven(where)["peak/default/0"] == cut["peak/default/0"]


def test_a_run_that_was_made_otherwise_is_refused_by_what_differs_and_nothing_is_run(tmp_path):
    where = tmp_path / "a.db"
    evolve.run(peak(), steps=2, seed=1, settings={"islands": {"n_islands": 3}}, name="peak/default/1", archive=where)
    with pytest.raises(ConfigError, match=r"peak/default/1 .*: islands.n_islands was 3 and is None here; ask for the same, or"):
        carry_out(study_of(peak()), where)
    assert list(driven(where)) == ["peak/default/1"]


def test_a_run_with_another_evaluator_or_initial_program_is_refused(tmp_path):
    where = tmp_path / "a.db"
    evolve.run(peak(), steps=2, seed=0, name="peak/default/0", archive=where)
    with pytest.raises(TaskError, match="the evaluator of task peak has changed"):
        carry_out(study_of(peak(holdout=height_elsewhere)), where)
    other = evolve.inline_task("peak", SOURCE.replace("1.0", "1.5"), height)
    with pytest.raises(ConfigError, match="began with another initial program"):
        carry_out(study_of(other), where)


def test_a_noisy_best_has_an_interval(tmp_path):
    def noisy(program):
        import random

        return evolve.Score(random.random() - abs(program.call("where") - 3.0))

    task = evolve.inline_task("noisy", SOURCE, noisy, objective=Objective(repeats=3, tolerance=100.0))
    comparison = evolve.compare(task, strategies=["default"], seeds=[4], steps=2, archive=tmp_path / "a.db")
    [[run]] = [result.runs for result in comparison.strategies]
    # Measured afresh: not what it was chosen by.
    assert run.noise.low < run.noise.value < run.noise.high
    assert run.noise.value != run.value
    assert comparison.tests == ()


def test_a_run_that_cannot_go_on_ends_the_comparison_and_says_why(tmp_path):
    task = evolve.inline_task("broken", SOURCE.replace("return 1.0", "return 1 / 0"), height)
    with pytest.raises(TaskError, match="does not score"):
        evolve.compare(task, seeds=2, steps=2, archive=tmp_path / "a.db", runs_at_once=2)


def test_seconds_are_read_along_the_time_that_runs_were_driven(tmp_path):
    comparison = evolve.compare(
        peak(), strategies=["default"], seeds=1, max_seconds=60.0, settings={"steps": 4}, archive=tmp_path / "a.db"
    )
    assert (comparison.axis, comparison.budget) == (Axis.SECONDS, 60.0)
    [run] = comparison.strategies[0].runs
    assert run.early
    assert run.value == run.curve.best[-1]


def test_one_budget_is_what_results_are_read_along():
    assert chosen_axis(steps=5, budget_usd=1.0, max_seconds=None) is Axis.STEPS
    assert chosen_axis(steps=None, budget_usd=None, max_seconds=None) is Axis.STEPS
    assert chosen_axis(steps=None, budget_usd=1.0, max_seconds=None) is Axis.USD
    with pytest.raises(ConfigError, match="one budget"):
        chosen_axis(steps=None, budget_usd=1.0, max_seconds=1.0)


def test_seeds_are_distinct_and_a_wrong_setting_names_its_strategy():
    with pytest.raises(ConfigError, match="distinct"):
        study_of(peak(), seeds=(1, 1))
    variant = Variant("default", ("islands.n_island=1",))
    with pytest.raises(ConfigError, match=r"strategy default\[islands.n_island=1\]: .*did you mean 'n_islands'"):
        make_study(peak(), [variant], [0], lambda variant, seed: resolve(peak(), options=variant.table))


def test_differences_are_found_at_any_depth():
    old, new = {"a": 1, "b": {"c": 2, "d": [3]}, "e": 4}, {"a": 1, "b": {"c": 5, "d": [3]}, "f": 6}
    assert list(differences(old, new)) == [Difference("b.c", 2, 5), Difference("e", 4, None), Difference("f", None, 6)]
