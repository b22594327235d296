import re
from dataclasses import replace

import pytest

from evolve.archive.chains import BestOfN, Sequential
from evolve.archive.islands import Islands
from evolve.archive.population import Member
from evolve.archive.records import Plan
from evolve.config import RunConfig, resolve
from evolve.errors import ConfigError
from evolve.program import Outcome, Task
from evolve.search import Conditions, Finished, Hindsight, Search
from evolve.strategies import BUILT_IN, compose, make_search, strategy_names

TASK = Task("t", {"a.py": "x = 1\n"})
ARMS = ["local/literals", "local/statements"]


def searched(strategy: str, steps: int = 60, **options: object) -> tuple[Search, list[str]]:
    """Takes a strategy through steps whose children get better by their parent; returns the parents that it chose."""
    config = resolve(TASK, options={"strategy": strategy, "seed": 3, **options})
    search = make_search(TASK, config, ARMS)
    search.settle(Finished(None, Outcome.OK, "initial", "f0", 0.0, 10))
    parents, values = [], {"initial": 0.0}
    for step in range(1, steps + 1):
        plan = search.plan(step)
        parents.append(plan.parent)
        if step % 7 == 0:
            search.settle(Finished(plan, Outcome.CRASHED, f"p{step}", f"f{step}"))
            continue
        values[f"p{step}"] = values[plan.parent] + (1.0 if step % 3 == 0 else -1.0)
        search.settle(Finished(plan, Outcome.OK, f"p{step}", f"f{step}", values[f"p{step}"], 10))
    return search, parents


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_strategy_searches_and_repeats_itself(name):
    (search, parents), (_, again) = searched(name), searched(name)
    assert parents == again
    assert parents[0] == "initial"
    assert search.best is not None


def test_best_of_n_always_starts_from_the_initial_program():
    assert set(searched("best_of_n")[1]) == {"initial"}


def test_sequential_starts_from_the_latest_program_that_scored():
    _, parents = searched("sequential", 9)
    assert parents == ["initial", "p1", "p2", "p3", "p4", "p5", "p6", "p6", "p8"]


def test_a_beam_works_on_its_best_alike():
    _, parents = searched("beam", 60, options={"width": 2})
    assert len(set(parents[:6])) < 6


def test_an_unknown_strategy_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match=r"unknown strategy 'best_of_m'; .*best_of_n"):
        make_search(TASK, resolve(TASK, settings=["strategy=best_of_m"]), ARMS)


def test_an_unknown_option_is_refused():
    with pytest.raises(ConfigError, match="options: unknown key 'widht'; did you mean 'width'"):
        make_search(TASK, resolve(TASK, settings=["strategy=beam", "options.widht=3"]), ARMS)
    with pytest.raises(ConfigError, match=re.escape("options: width must be >= 1, got 0")):
        make_search(TASK, resolve(TASK, settings=["strategy=beam", "options.width=0"]), ARMS)


@pytest.mark.parametrize(
    ("strategy", "setting", "table"),
    [
        ("beam", "islands.n_islands=4", "islands"),
        ("best_of_n", "parents.pressure=1.0", "parents"),
        ("default", "options.a=1", "options"),
        ("best_of_n", "insight.every=10", "insight"),
        ("sequential", "insight.every=50", "insight"),
        ("best_of_n", "stagnation.after=10", "stagnation"),
    ],
)
def test_a_table_that_a_strategy_does_not_heed_is_refused(strategy, setting, table):
    with pytest.raises(ConfigError, match=rf"strategy {strategy} does not heed \[{table}\]: "):
        make_search(TASK, resolve(TASK, settings=[f"strategy={strategy}", setting]), ARMS)


def test_a_key_that_a_strategy_does_not_heed_is_refused():
    with pytest.raises(ConfigError, match=r"strategy sequential does not heed prompts\.n_failures: how many failures"):
        make_search(TASK, resolve(TASK, settings=["strategy=sequential", "prompts.n_failures=3"]), ARMS)


@pytest.mark.parametrize("strategy", ["beam", "mapelites", "cvt", "pareto"])
def test_a_strategy_that_protects_nothing_refuses_to_protect_for_longer(strategy):
    with pytest.raises(ConfigError, match=rf"strategy {strategy} does not heed stagnation\.protect: it protects nothing"):
        make_search(TASK, resolve(TASK, settings=[f"strategy={strategy}", "stagnation.after=40", "stagnation.protect=20"]), ARMS)
    make_search(TASK, resolve(TASK, settings=[f"strategy={strategy}", "stagnation.protect=0"]), ARMS)
    make_search(TASK, resolve(TASK, settings=[f"strategy={strategy}", "stagnation.after=30"]), ARMS)


def protecting(strategy: str, protect: int) -> list[str]:
    """The programs that a strategy keeps after a new approach that scored badly, on islands that hold two programs."""
    islands = {"n_islands": 1, "capacity": 2}
    settings = {"strategy": strategy, "stagnation": {"after": 40, "protect": protect}, "islands": islands}
    search = make_search(TASK, resolve(TASK, options=settings), ARMS)
    search.settle(Finished(None, Outcome.OK, "initial", "f0", 0.0, 10))
    for step in range(1, 4):
        search.settle(Finished(search.plan(step), Outcome.OK, f"p{step}", f"f{step}", float(step), 10))
    plan = replace(search.plan(4), new_approach=True)
    search.settle(Finished(plan, Outcome.OK, "new", "f4", -9.0, 10))
    return [member.program_id for member in search._population.members()]


@pytest.mark.parametrize("strategy", ["default", "shinka", "adaptive", "tournament"])
def test_islands_heed_how_long_a_new_approach_is_protected(strategy):
    assert "new" in protecting(strategy, 20)
    assert "new" not in protecting(strategy, 0)


@pytest.mark.parametrize("strategy", ["best_of_n", "sequential"])
def test_what_baselines_leave_out_may_be_turned_off(strategy):
    off = ["insight.every=0", "stagnation.after=0", "prompts.n_failures=0"]
    make_search(TASK, resolve(TASK, settings=[f"strategy={strategy}", *off]), ARMS)


def planned_after_failures(strategy: str, **settings) -> Plan:
    """The plan of a step after two failures, with an arm to ask for a new approach once nothing got better for long enough."""
    search = make_search(TASK, resolve(TASK, options={"strategy": strategy, **settings}), ARMS)
    search.settle(Finished(None, Outcome.OK, "initial", "f0", 0.0, 10))
    for step in range(1, 60):
        search.settle(Finished(search.plan(step), Outcome.CRASHED, f"p{step}", f"f{step}"))
    return search.plan(60, Conditions(strongest=(ARMS[0],)))


def test_plans_of_baselines_name_what_plain_baselines_are_told():
    default = planned_after_failures("default", stagnation={"after": 40})
    samples, chain = map(planned_after_failures, ("best_of_n", "sequential"))
    assert (default.failures, default.new_approach) == (("p59", "p58", "p57"), True)
    assert (samples.failures, samples.new_approach) == ((), False)
    assert (chain.failures, chain.new_approach) == (("p59",), False)


def test_a_baseline_is_told_that_it_repeats_its_parent_and_no_other_program():
    default, samples = (make_search(TASK, resolve(TASK, options={"strategy": name}), ARMS) for name in ("default", "best_of_n"))
    plan = Plan(step=5, version=4, island=0, parent="initial", inspirations=(), arm=ARMS[0])
    assert (default.tells(plan, "p3"), samples.tells(plan, "p3")) == (True, False)
    assert samples.tells(plan, "initial")


def test_hindsight_reaches_no_further_than_failures_are_remembered():
    with pytest.raises(ValueError, match="failures must lie between 0 and 3, got 4"):
        Hindsight(failures=4)


def test_shinka_brings_its_own_bandit_unless_another_is_chosen():
    own = make_search(TASK, resolve(TASK, settings=["strategy=shinka"]), ARMS)
    other = make_search(TASK, resolve(TASK, settings=["strategy=shinka", "bandit.name=ucb1"]), ARMS)
    assert type(own._bandit) is not type(other._bandit)


def test_a_strategy_of_ones_own_is_a_composition():
    search = compose(TASK, RunConfig(), ARMS, BestOfN())
    search.settle(Finished(None, Outcome.OK, "initial", "f", 1.0, 10))
    assert search.plan(1).parent == "initial"


def test_names_are_listed_with_the_default_first():
    assert strategy_names()[0] == "default"
    assert {"shinka", "beam", "best_of_n", "sequential"} <= set(strategy_names())


@pytest.mark.parametrize("population", [BestOfN(), Sequential()])
def test_chains_keep_a_bounded_few(population):
    for step in range(50):
        population.settle("p0" if step else None, Member(f"p{step}", step, float(-step), 1))
    assert [member.program_id for member in population.members()] == ["p0", "p49"]


def test_islands_hold_what_the_default_searches_in():
    assert isinstance(make_search(TASK, RunConfig(), ARMS)._population, Islands)
