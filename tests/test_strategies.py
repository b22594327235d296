import re

import pytest

from evolve.archive.chains import BestOfN, Sequential
from evolve.archive.islands import Islands
from evolve.archive.population import Member
from evolve.config import RunConfig, resolve
from evolve.errors import ConfigError
from evolve.program import Outcome, Task
from evolve.search import Finished, Search
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
    ],
)
def test_a_setting_that_a_strategy_does_not_heed_is_refused(strategy, setting, table):
    with pytest.raises(ConfigError, match=rf"strategy {strategy} does not heed \[{table}\]"):
        make_search(TASK, resolve(TASK, settings=[f"strategy={strategy}", setting]), ARMS)


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
