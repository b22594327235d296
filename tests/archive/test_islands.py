import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.archive.islands import IslandConfig, Islands, Refound
from evolve.archive.pool import Crowding
from evolve.archive.population import Member
from evolve.archive.selection import RankWeighted, RankWeightedConfig
from evolve.rng import generator


class First:
    """Always chooses the best member."""

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator, exploration: float = 0.0) -> int:
        return 0


class Last:
    """Always chooses the worst member, and remembers the children it was told of."""

    def __init__(self) -> None:
        self.children: list[int] = []

    def choose(self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator, exploration: float = 0.0) -> int:
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


def test_migration_follows_the_edges_that_are_listed():
    population = islands(migration_every=1, migrants=1, topology="0>2")
    population.settle("initial", child("a", 1.0, 0))
    population.settle("initial", child("b", 2.0, 1, step=2))
    assert [names(population.on_island(i)) for i in range(3)] == [["a", "initial"], ["b", "initial"], ["a", "initial"]]


def test_without_edges_nobody_travels():
    population = islands(migration_every=1, topology="none")
    population.settle("initial", child("a", 1.0, 0))
    assert [("a" in names(population.on_island(i))) for i in range(3)] == [True, False, False]


def test_crowded_by_distance_islands_ask_for_embeddings_and_keep_what_is_different():
    east, north = np.eye(2, dtype=np.float32)
    population = islands(n_islands=1, capacity=3, crowding=Crowding.DISTANCE)
    assert population.embeds
    assert not islands().embeds
    for step, (name, fitness, embedding) in enumerate([("e", 5.0, east), ("n", 1.0, north), ("e2", 4.0, east)], start=1):
        population.settle("initial", dataclasses.replace(child(name, fitness, 0, step=step), embedding=embedding))
    assert names(population.members()) == ["e", "n", "initial"]


def stagnating(**settings) -> Islands:
    """Two islands, the best program on island 0, and six finished steps since."""
    population = islands(n_islands=2, **settings)
    population.settle("initial", child("weak", 1.0, 1, step=1))
    population.settle("initial", child("best", 9.0, 0, step=2))
    for _ in range(6):
        population.settle("initial", None)
    return population


def test_an_island_that_stagnates_is_founded_anew_by_the_best_of_the_best_island():
    # Finished steps 1, 3, 5 and 7 are turns of island 1; the first brought its best.
    assert names(stagnating(retire_after=4).on_island(1)) == ["weak", "initial"]
    population = stagnating(retire_after=3, migrants=1)
    assert names(population.on_island(1)) == ["best"]
    assert names(population.on_island(0)) == ["best", "initial"]
    with pytest.raises(KeyError):
        population.children_of("weak")


def test_an_island_can_be_founded_anew_by_the_initial_program():
    population = stagnating(retire_after=3, refound=Refound.INITIAL)
    assert names(population.on_island(1)) == ["initial"]
    assert population.children_of("initial") == 8


def test_without_an_initial_program_that_scored_an_island_is_founded_anew_by_the_best():
    population = Islands(IslandConfig(n_islands=2, retire_after=1, refound=Refound.INITIAL), First())
    population.settle("initial", child("a", 1.0, 0))
    population.settle("initial", None)
    population.settle("initial", None)
    assert names(population.on_island(1)) == ["a"]


def test_the_island_of_the_best_program_stays_however_long_it_stagnates():
    population = stagnating(retire_after=1)
    for _ in range(50):
        population.settle("best", None)
    assert names(population.on_island(0)) == ["best", "initial"]


def test_an_island_that_was_founded_anew_has_its_time_again_and_must_beat_what_it_was_given():
    population = stagnating(retire_after=3, refound=Refound.INITIAL)
    # It was emptied by the seventh step; its turns are the odd ones.
    population.settle("initial", child("better", 2.0, 1, step=9))
    population.settle("initial", child("worse", 1.0, 1, step=10))
    for _ in range(4):
        population.settle("initial", None)
    assert names(population.on_island(1)) == ["better", "worse", "initial"]
    population.settle("initial", None)
    assert names(population.on_island(1)) == ["initial"]


def test_copies_from_elsewhere_do_not_count_as_progress():
    population = islands(n_islands=2, retire_after=2, migration_every=1, migrants=1, topology="0>1")
    for step in range(1, 5):
        population.settle("initial", child(f"c{step}", float(step), 0, step=step))
    # Its second turn, the third step, ended with island 1 holding three copies; it was left with the best two of the other.
    assert names(population.on_island(1)) == ["c4", "c3"]


def test_a_child_of_an_island_that_was_emptied_meanwhile_is_welcome_there():
    population = stagnating(retire_after=3, refound=Refound.INITIAL)
    population.settle("weak", child("late", 0.5, 1, step=9, parent="weak"))
    assert names(population.on_island(1)) == ["late", "initial"]


def test_a_run_that_stagnates_gets_further_islands_up_to_a_bound():
    population = islands(n_islands=1, spawn_after=3, max_islands=3, migrants=1)
    population.settle("initial", child("a", 1.0, 0))
    counts = []
    for _ in range(10):
        population.settle("a", None)
        counts.append(population.n_islands)
    assert counts == [1, 1, 2, 2, 2, 3, 3, 3, 3, 3]
    assert [names(population.on_island(i)) for i in range(3)] == [["a", "initial"], ["a"], ["a"]]
    assert [population.choose(step, generator(0, step, "plan")).island for step in range(1, 7)] == [1, 2, 0, 1, 2, 0]


def test_progress_delays_further_islands():
    population = islands(n_islands=1, capacity=20, spawn_after=3, refound=Refound.INITIAL)
    for step in range(1, 20):
        population.settle("initial", child(f"c{step}", float(step), 0, step=step) if step % 3 == 0 else None)
    assert population.n_islands == 1
    population.settle("initial", None)
    population.settle("initial", None)
    assert names(population.on_island(1)) == ["initial"]
    assert population.children_of("initial") == 21


@settings(deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 6),
    st.lists(st.integers(-3, 9) | st.none(), max_size=60),
)
def test_the_best_program_survives_whatever_islands_come_and_go(n_islands, capacity, retire, spawn, fitness):
    config = IslandConfig(n_islands, capacity, migration_every=5, retire_after=retire, spawn_after=spawn, max_islands=4)
    population = Islands(config, RankWeighted(RankWeightedConfig()))
    population.settle(None, INITIAL)
    best = INITIAL.fitness
    for step, value in enumerate(fitness, start=1):
        choice = population.choose(step, generator(0, step, "plan"))
        made = None if value is None else child(f"c{step}", float(value), choice.island, step=step, parent=choice.parent)
        population.settle(choice.parent, made)
        best = max(best, -9.0 if value is None else float(value))
        assert population.members()[0].fitness == best
        assert population.n_islands <= 4
        assert all(1 <= len(population.on_island(i)) <= capacity for i in range(population.n_islands))
        assert all(population.children_of(kept.program_id) >= 0 for kept in population.members())


@pytest.mark.parametrize("setting", ["retire_after", "spawn_after"])
def test_patience_below_one_is_refused(setting):
    with pytest.raises(ValueError, match=f"{setting} must be >= 1 or left out"):
        IslandConfig(**{setting: 0})


def test_fewer_islands_at_most_than_at_first_are_refused():
    with pytest.raises(ValueError, match=r"max_islands must be >= n_islands \(4\), got 3"):
        IslandConfig(n_islands=4, max_islands=3, spawn_after=10)


def test_edges_may_name_islands_that_can_come():
    IslandConfig(n_islands=1, spawn_after=5, max_islands=3, topology="0>2")
    with pytest.raises(ValueError, match="islands are 0 to 1"):
        IslandConfig(n_islands=2, topology="0>2")


@pytest.mark.parametrize("setting", ["n_islands", "capacity", "migration_every"])
def test_settings_below_one_are_refused(setting):
    with pytest.raises(ValueError, match=setting):
        IslandConfig(**{setting: 0})


@pytest.mark.parametrize("setting", ["migrants", "n_inspirations"])
def test_negative_counts_are_refused(setting):
    with pytest.raises(ValueError, match=setting):
        IslandConfig(**{setting: -1})
