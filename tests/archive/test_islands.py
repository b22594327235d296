from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.archive.islands import IslandConfig, Islands
from evolve.archive.population import Member
from evolve.archive.selection import RankWeighted, RankWeightedConfig
from evolve.rng import generator


class First:
    """Always chooses the best member."""

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator) -> int:
        return 0


class Last:
    """Always chooses the worst member, and remembers the children it was told of."""

    def __init__(self) -> None:
        self.children: list[int] = []

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator) -> int:
        self.children = children.tolist()
        return len(members) - 1


INITIAL = Member("initial", 0, 0.0, 100)


def child(name: str, fitness: float, island: int, *, step: int = 1, size: int = 100, parent: str = "initial") -> Member:
    return Member(name, step, fitness, size, parent, island)


def islands(parents=None, **settings) -> Islands:
    population = Islands(IslandConfig(**{"n_islands": 3, "capacity": 4, "migration_every": 1000, **settings}), parents or First())
    population.settle(None, INITIAL)
    return population


def names(members: Sequence[Member]) -> list[str]:
    return [member.program_id for member in members]


def test_the_initial_program_is_on_every_island():
    population = islands()
    assert [names(population.on_island(i)) for i in range(3)] == [["initial"]] * 3


def test_a_child_joins_the_island_it_was_born_on():
    population = islands()
    population.settle("initial", child("a", 1.0, 2))
    assert [names(population.on_island(i)) for i in range(3)] == [["initial"], ["initial"], ["a", "initial"]]


def test_the_worst_goes_out_of_a_full_island():
    population = islands()
    for i, fitness in enumerate([3.0, -1.0, 2.0, 1.0]):
        population.settle("initial", child(f"c{i}", fitness, 0, step=i + 1))
    assert names(population.on_island(0)) == ["c0", "c2", "c3", "initial"]


def test_a_child_worse_than_all_of_a_full_island_does_not_enter():
    population = islands(capacity=1)
    population.settle("initial", child("a", -1.0, 0))
    assert names(population.members()) == ["initial"]
    with pytest.raises(KeyError):
        population.children_of("a")


def test_of_equals_the_longer_goes_out_then_the_later():
    population = islands(capacity=2)
    population.settle("initial", child("long", 5.0, 0, step=1, size=30))
    population.settle("initial", child("late", 5.0, 0, step=3, size=20))
    population.settle("initial", child("early", 5.0, 0, step=2, size=20))
    assert names(population.on_island(0)) == ["early", "late"]


def test_islands_take_turns():
    population = islands()
    assert [population.choose(step, generator(0, step, "plan")).island for step in range(1, 7)] == [1, 2, 0, 1, 2, 0]


def test_an_empty_islands_turn_goes_to_the_next_inhabited_one():
    population = Islands(IslandConfig(n_islands=3), First())
    population.settle("gone", child("a", 1.0, 2))
    assert population.choose(3, generator(0, 3, "plan"))[:2] == (2, "a")


def test_migration_copies_the_best_to_the_next_island():
    population = islands(migration_every=3, migrants=1)
    for step, island in enumerate([0, 1, 2], start=1):
        population.settle("initial", child(f"c{island}", 1.0 + island, island, step=step))
    assert [names(population.on_island(i)) for i in range(3)] == [
        ["c2", "c0", "initial"],
        ["c1", "c0", "initial"],
        ["c2", "c1", "initial"],
    ]


def test_migration_keeps_the_source_elite():
    population = islands(migration_every=1, migrants=2, n_islands=2)
    population.settle("initial", child("a", 9.0, 0))
    assert names(population.on_island(0))[0] == names(population.on_island(1))[0] == "a"


def test_migration_makes_no_second_entry_of_a_program():
    population = islands(migration_every=1, migrants=4, n_islands=2)
    for step in range(1, 6):
        population.settle("initial", child(f"c{step}", float(step), step % 2, step=step))
    for island in range(2):
        assert len(set(names(population.on_island(island)))) == len(population.on_island(island))


def test_nobody_travels_two_islands_at_once():
    population = islands(migration_every=1, migrants=1)
    population.settle("initial", child("a", 1.0, 0))
    assert [("a" in names(population.on_island(i))) for i in range(3)] == [True, True, False]


def test_failed_steps_count_towards_migration_and_the_initial_program_does_not():
    population = islands(migration_every=2, migrants=1)
    population.settle("initial", child("a", 1.0, 0))
    assert names(population.on_island(1)) == ["initial"]
    population.settle("initial", None)
    assert names(population.on_island(1)) == ["a", "initial"]


def test_a_single_island_migrates_into_itself_without_effect():
    population = islands(migration_every=1, n_islands=1)
    population.settle("initial", child("a", 1.0, 0))
    assert names(population.members()) == ["a", "initial"]


def test_children_are_counted_when_their_step_is_finished():
    parents = Last()
    population = islands(parents, n_islands=1)
    population.settle("initial", child("a", 1.0, 0))
    population.settle("initial", None)
    population.settle("a", None)
    population.choose(4, generator(0, 4, "plan"))
    population.choose(5, generator(0, 5, "plan"))
    assert parents.children == [1, 2]


def test_a_program_that_left_every_island_is_forgotten():
    population = islands(capacity=1, n_islands=2)
    population.settle("initial", child("a", 1.0, 0))
    assert population.children_of("initial") == 1
    population.settle("a", child("b", 2.0, 1))
    with pytest.raises(KeyError):
        population.children_of("initial")


def test_inspirations_are_the_best_and_others():
    population = islands(Last(), n_islands=1, capacity=10, n_inspirations=3)
    for i in range(8):
        population.settle("initial", child(f"c{i}", float(i + 1), 0, step=i + 1))
    shown = [population.choose(step, generator(0, step, "plan")).inspirations for step in range(50)]
    assert {inspirations[0] for inspirations in shown} == {"c7"}
    assert {len(inspirations) for inspirations in shown} == {3}
    assert {name for inspirations in shown for name in inspirations[1:]} == {f"c{i}" for i in range(7)}


def test_a_few_members_are_all_shown():
    population = islands(n_islands=1, n_inspirations=5)
    population.settle("initial", child("a", 2.0, 0))
    population.settle("initial", child("b", 1.0, 0))
    assert population.choose(1, generator(0, 1, "plan")) == (0, "a", ("b", "initial"))


def test_no_inspirations_when_none_are_asked_for():
    population = islands(n_islands=1, n_inspirations=0)
    population.settle("initial", child("a", 2.0, 0))
    assert population.choose(1, generator(0, 1, "plan")).inspirations == ()


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 9), st.integers(0, 3), st.lists(st.integers(-3, 3), max_size=60))
def test_islands_agree_with_a_slow_obvious_version(n_islands, capacity, every, migrants, fitness):
    config = IslandConfig(n_islands, capacity, every, migrants)
    fast = Islands(config, RankWeighted(RankWeightedConfig()))
    fast.settle(None, INITIAL)
    slow = [[INITIAL] for _ in range(n_islands)]

    def put(island: int, member: Member) -> None:
        if member not in slow[island]:
            slow[island] = sorted([*slow[island], member], key=lambda m: (-m.fitness, m.size, m.step))[:capacity]

    for step, value in enumerate(fitness, start=1):
        member = child(f"c{step}", float(value), step % n_islands, step=step, size=100 + value % 2)
        fast.settle("initial", member)
        put(step % n_islands, member)
        if step % every == 0:
            leaving = [members[:migrants] for members in slow]
            for source, travellers in enumerate(leaving):
                for traveller in travellers:
                    put((source + 1) % n_islands, traveller)
    assert [fast.on_island(i) for i in range(n_islands)] == slow


@pytest.mark.parametrize("setting", ["n_islands", "capacity", "migration_every"])
def test_settings_below_one_are_refused(setting):
    with pytest.raises(ValueError, match=setting):
        IslandConfig(**{setting: 0})


@pytest.mark.parametrize("setting", ["migrants", "n_inspirations"])
def test_negative_counts_are_refused(setting):
    with pytest.raises(ValueError, match=setting):
        IslandConfig(**{setting: -1})
