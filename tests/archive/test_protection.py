from dataclasses import replace

from evolve.archive.islands import IslandConfig, Islands
from evolve.archive.population import Member
from evolve.archive.selection import RankWeighted, RankWeightedConfig
from evolve.rng import generator
from evolve.testing.population import PopulationContract


def islands(protect=4, **config):
    made = Islands(IslandConfig(**{"n_islands": 1, "capacity": 2, **config}), RankWeighted(RankWeightedConfig()), protect=protect)
    made.settle(None, Member("p0", 0, 10.0, 5))
    made.settle("p0", Member("p1", 1, 11.0, 5, "p0", 0))
    return made


def newcomer(step=2, fitness=0.0, island=0):
    return Member(f"p{step}", step, fitness, 5, "p0", island, new_approach=True)


def ids(population):
    return [member.program_id for member in population.members()]


def share(population, wanted, steps=400):
    return sum(population.choose(step * 2, generator(0, step, "plan")).parent == wanted for step in range(steps)) / steps


def test_a_program_worse_than_a_full_island_s_worst_leaves_at_once_without_protection():
    population = islands(protect=0)
    population.settle("p0", newcomer())
    assert ids(population) == ["p1", "p0"]


def test_a_new_approach_is_kept_and_is_the_parent_half_of_the_time():
    population = islands()
    population.settle("p0", newcomer())
    assert ids(population) == ["p1", "p0", "p2"]
    # 400 fair throws: five standard deviations are 0.125.
    assert abs(share(population, "p2") - 0.5) < 0.125


def test_an_ordinary_child_is_not_protected():
    population = islands()
    population.settle("p0", replace(newcomer(), new_approach=False))
    assert ids(population) == ["p1", "p0"]


def test_protection_ends_with_its_steps():
    population = islands(protect=3)
    population.settle("p0", newcomer())
    for _ in range(2):
        population.settle("p0", None)
    assert "p2" in ids(population)
    population.settle("p0", None)
    assert "p2" not in ids(population)


def test_steps_of_other_islands_do_not_use_protection_up():
    population = islands(protect=3, n_islands=2)
    population.settle("p0", Member("q1", 1, 11.0, 5, "p0", 1))
    population.settle("p0", newcomer(island=1))
    for _ in range(5):
        population.settle("p0", None)
    assert "p2" in ids(population)
    population.settle("p0", None)
    assert "p2" not in ids(population)


def test_as_many_children_as_steps_end_it_too():
    population = islands(protect=2)
    population.settle("p0", newcomer())
    population.settle("p2", None)
    assert "p2" in ids(population)
    population.settle("p2", None)
    assert "p2" not in ids(population)


def test_a_better_child_takes_the_place_of_a_protected_program():
    population = islands(protect=5)
    population.settle("p0", newcomer())
    population.settle("p2", Member("p3", 3, 1.0, 5, "p2", 0))
    assert ids(population) == ["p1", "p0", "p3"]
    population.settle("p3", Member("p4", 4, 0.5, 5, "p3", 0))
    assert ids(population) == ["p1", "p0", "p3"]


def test_inspirations_of_a_protected_program_are_the_island_s():
    population = islands()
    population.settle("p0", newcomer())
    choice = next(
        choice for step in range(50) if (choice := population.choose(2, generator(0, step, "plan"))).parent == "p2"
    )  # fmt: skip
    assert choice.inspirations == ("p1", "p0")


def test_nothing_is_drawn_where_nothing_is_protected():
    with_it, without = islands(protect=5), islands(protect=0)
    for step in range(20):
        assert with_it.choose(step, generator(0, step, "plan")) == without.choose(step, generator(0, step, "plan"))


class TestIslandsWithProtection(PopulationContract):
    def make(self):
        return Islands(IslandConfig(capacity=10), RankWeighted(RankWeightedConfig()), protect=5)
