import dataclasses
import itertools

import numpy as np
import pytest
from landscape_kit import ALL, catalog, command, driver

from evolve.archive.novelty import NoveltyConfig
from evolve.config import RunConfig
from evolve.progress import StagnationConfig
from evolve.search import Search
from evolve.stages import StageConfig

STEPS = 60


def simulated(name, *, seed=0, steps=STEPS, config=None, **options):
    return driver.simulate(catalog.make(name), config or RunConfig(), seed=seed, steps=steps, **options)


def same(one, other):
    return all(np.array_equal(*pair) for pair in zip(dataclasses.astuple(one), dataclasses.astuple(other), strict=True))


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_trace(name):
    assert same(simulated(name), simulated(name))


def test_another_seed_gives_another_trace():
    assert not same(simulated("genes"), simulated("genes", seed=1))


@pytest.mark.parametrize("name", ALL)
def test_counts_add_up_and_the_best_never_gets_worse(name):
    landscape, trace = catalog.make(name), simulated(name)
    assert len(trace.believed) == len(trace.best) == STEPS + 1
    assert trace.believed[0] == trace.best[0] == landscape.value(landscape.initial)
    oriented = [landscape.direction.oriented(value) for value in trace.best]
    assert oriented == sorted(oriented)
    assert sum(trace.pulls.values()) == STEPS
    assert trace.evaluations + trace.copies <= STEPS + 1
    assert trace.reevaluations <= trace.repeats + trace.failed <= trace.evaluations


def test_without_noise_the_program_held_to_be_the_best_is_the_best():
    trace = simulated("genes")
    assert np.array_equal(trace.believed, trace.best)


def test_without_noise_what_is_reported_is_true_and_every_best_is_evaluated_twice():
    trace = simulated("genes")
    assert np.array_equal(trace.reported, trace.believed)
    assert trace.interval is None
    # As many as became the best, and those that would have if another had not come first.
    assert trace.verifications >= len(np.unique(trace.believed))
    assert trace.spent[-1] == trace.evaluations + trace.verifications


def test_with_noise_challengers_are_measured_again_and_the_last_best_afresh():
    trace = simulated("noisy")
    assert list(trace.spent) == sorted(trace.spent)
    assert trace.spent[0] == 2
    assert trace.spent[-1] == trace.evaluations + trace.verifications
    low, high = trace.interval.low, trace.interval.high
    assert low < trace.interval.value < high
    assert trace.interval.value != trace.reported[-1]


def test_without_measuring_again_a_lucky_measurement_is_believed():
    once = RunConfig(stages=StageConfig(verify=False))
    trace = simulated("noisy", config=once, steps=150)
    assert trace.verifications == 0
    assert trace.interval is None
    # Minimised to 0, which no program is below: what is reported is luck.
    assert trace.reported[-1] < 0 < trace.believed[-1]


@pytest.fixture
def settled(monkeypatch):
    """Every finished step that searches are told of."""
    seen = []
    settle = Search.settle

    def noting(self, finished, embedding=None):
        seen.append(finished)
        return settle(self, finished, embedding)

    monkeypatch.setattr(Search, "settle", noting)
    return seen


@pytest.mark.parametrize("lag", [1, 4])
def test_a_program_that_a_screen_knew_is_not_evaluated_again(settled, lag):
    trace = simulated("copies", steps=150, lag=lag)
    by_step = {finished.step: finished for finished in settled}
    for finished in settled:
        if finished.plan is None or finished.reused or finished.program is None:
            continue
        known = {by_step[step].fingerprint for step in range(finished.plan.version + 1)}
        assert finished.fingerprint not in known
    assert trace.copies == sum(finished.reused for finished in settled)
    if lag == 1:
        assert trace.reevaluations == 0


def test_a_plan_sees_the_additions_up_to_its_step_less_the_lag(settled):
    simulated("genes", lag=3, steps=20)
    assert [finished.step for finished in settled] == list(range(21))
    assert [finished.plan.version for finished in settled[1:]] == [max(0, step - 3) for step in range(1, 21)]


def test_near_copies_are_turned_down_when_embeddings_are_compared():
    compared = RunConfig(novelty=NoveltyConfig(max_similarity=0.9, memory=50))
    assert simulated("copies", config=compared, steps=30).rejected > simulated("copies", steps=30).rejected


def test_plans_may_ask_for_a_new_approach(settled):
    simulated("valleys", config=RunConfig(stagnation=StagnationConfig(after=2, every=5)), steps=60)
    asked = [finished.step for finished in settled if finished.plan is not None and finished.plan.new_approach]
    assert asked
    assert all(later - earlier >= 5 for earlier, later in itertools.pairwise(asked))


def test_the_step_that_reaches_the_mark_is_the_first_one():
    landscape = catalog.make("genes")
    trace = dataclasses.replace(simulated("genes", steps=2), believed=np.array([0.0, landscape.mark, landscape.optimum]))
    assert driver.reached(trace, landscape) == 1
    assert driver.reached(dataclasses.replace(trace, believed=np.zeros(3)), landscape) is None


# The command


def test_runs_that_never_arrive_are_marked_as_censored():
    landscape = catalog.make("genes")
    there = dataclasses.replace(simulated("genes", steps=2), believed=np.array([0.0, landscape.optimum, landscape.optimum]))
    never = dataclasses.replace(there, believed=np.zeros(3))
    assert command.steps_to_mark([there, there, never], landscape) == "1"
    assert command.steps_to_mark([there, never, never], landscape) == "> 2"


def test_the_way_is_measured_in_the_landscapes_own_direction():
    landscape = catalog.make("noisy")
    start = landscape.value(landscape.initial)
    assert command.way(start, landscape) == 0
    assert command.way(landscape.optimum, landscape) == 100
    assert command.way(landscape.mark, landscape) == pytest.approx(90)


def test_the_interval_holds_the_median():
    low, high = command.interval(np.arange(11.0))
    assert 0 <= low < 5 < high <= 10
    assert command.interval(np.full(5, 3.0)) == (3.0, 3.0)


def test_the_command_prints_a_row_per_landscape_and_strategy(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["landscapes", "--landscape", "genes", "--seeds", "2", "--steps", "20"])
    command.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| genes | default | > 20 | 0/2 |")


def test_a_setting_that_does_not_exist_ends_the_command_with_a_hint(monkeypatch):
    monkeypatch.setattr("sys.argv", ["landscapes", "--landscape", "genes", "--set", "novelty.max_similarty=0.9"])
    with pytest.raises(SystemExit, match="max_similarity"):
        command.main()
