"""What every population must do: inherit `PopulationContract`, supply `make`, and let pytest collect it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from evolve.archive.population import Choice, Member, Population
from evolve.rng import generator


def _initial(fitness: float = 0.0) -> Member:
    return Member("initial", 0, fitness, 100)


def _traits(population: Population, rng: np.random.Generator) -> dict[str, float]:
    """Draws most of the traits that a population asks for; one in eight is missing."""
    asked = population.traits - {"instance:*"}
    if "instance:*" in population.traits:
        asked |= {f"instance:{name}" for name in "abc"}
    return {name: float(rng.integers(20)) for name in sorted(asked) if rng.random() < 7 / 8}


def _embedding(rng: np.random.Generator) -> np.ndarray:
    direction = rng.standard_normal(8).astype(np.float32)
    unit: np.ndarray = direction / np.linalg.norm(direction)
    return unit


class PopulationContract:
    """Tests of the `Population` protocol; a subclass says how to make one.

    Attributes:
        max_members: More programs than this it never keeps; a subclass with larger bounds says so.
    """

    max_members: ClassVar[int] = 1000

    def make(self) -> Population:
        """Makes an empty population, the same one every time."""
        raise NotImplementedError

    def evolved(self, steps: int, fitness_of: object = None, *, bare: bool = False) -> tuple[Population, list[Choice]]:
        """Makes a population and takes it through a search.

        Args:
            steps: How many; every fifth one fails.
            fitness_of: The child's fitness by step, a callable; None draws it around the parent's.
            bare: Leaves out the traits and the embeddings that the population asks for.

        Returns:
            The population and what it chose.
        """
        population = self.make()
        population.settle(None, _initial())
        known, choices = {"initial": 0.0}, []
        for step in range(1, steps + 1):
            rng = generator(0, step, "contract")
            choice = population.choose(step, rng)
            choices.append(choice)
            fitness = fitness_of(step) if callable(fitness_of) else known[choice.parent] + float(rng.normal())
            name = f"program-{step}"
            known[name] = fitness
            size = int(rng.integers(50, 500))
            traits = {} if bare else _traits(population, rng)
            embedding = _embedding(rng) if population.embeds and not bare else None
            child = Member(name, step, fitness, size, choice.parent, choice.island, traits=traits, embedding=embedding)
            population.settle(choice.parent, None if step % 5 == 0 else child)
        return population, choices

    def test_choosing_from_nothing_is_a_lookup_error(self) -> None:
        with pytest.raises(LookupError):
            self.make().choose(1, generator(0, 1, "plan"))

    def test_the_initial_program_alone_is_every_steps_parent(self) -> None:
        population = self.make()
        population.settle(None, _initial(-3.0))
        choices = [population.choose(step, generator(0, step, "plan")) for step in range(1, 9)]
        assert [choice[1:] for choice in choices] == [("initial", ())] * 8

    def test_the_same_calls_give_the_same_state(self) -> None:
        (one, choices), (two, again) = self.evolved(150), self.evolved(150)
        assert choices == again
        assert one.members() == two.members()

    def test_choosing_changes_nothing(self) -> None:
        population, _ = self.evolved(60)
        before = population.members()
        first = population.choose(61, generator(0, 61, "plan"))
        for step in range(62, 90):
            population.choose(step, generator(0, step, "plan"))
        assert population.members() == before
        assert population.choose(61, generator(0, 61, "plan")) == first

    def test_members_come_best_first_and_once(self) -> None:
        members = self.evolved(150)[0].members()
        fitness = [member.fitness for member in members]
        assert fitness == sorted(fitness, reverse=True)
        assert len({member.program_id for member in members}) == len(members)

    def test_the_best_program_is_kept(self) -> None:
        population, _ = self.evolved(120, lambda step: 1e9 if step == 3 else float(-step))
        assert population.members()[0].program_id == "program-3"

    def test_parents_and_inspirations_are_members(self) -> None:
        population, _ = self.evolved(100)
        kept = {member.program_id for member in population.members()}
        for step in range(101, 121):
            choice = population.choose(step, generator(0, step, "plan"))
            assert {choice.parent, *choice.inspirations} <= kept

    def test_inspirations_are_distinct_and_leave_the_parent_out(self) -> None:
        for choice in self.evolved(150)[1]:
            shown = [choice.parent, *choice.inspirations]
            assert len(set(shown)) == len(shown)

    def test_inspirations_come_best_first(self) -> None:
        population, _ = self.evolved(100)
        fitness = {member.program_id: member.fitness for member in population.members()}
        for step in range(101, 121):
            shown = [fitness[name] for name in population.choose(step, generator(0, step, "plan")).inspirations]
            assert shown == sorted(shown, reverse=True)

    def test_contents_stay_bounded(self) -> None:
        population, _ = self.evolved(2 * self.max_members + 500, float)
        assert len(population.members()) <= self.max_members

    @pytest.mark.parametrize("value", [0.0, -1e300, 1e-300, 2.5])
    def test_ties_of_any_size_are_fine(self, value: float) -> None:
        population, choices = self.evolved(60, lambda _: value)
        assert len(choices) == 60
        assert population.members()

    def test_negative_fitness_is_below_zero_and_nothing_else(self) -> None:
        members = self.evolved(80, lambda step: float(step) - 1e6, bare=True)[0].members()
        assert members[0].program_id == "initial"
        assert len(members) == 1 or members[1].program_id == "program-79"

    def test_failed_steps_and_unknown_parents_are_taken_note_of(self) -> None:
        population = self.make()
        population.settle(None, _initial())
        population.settle("initial", None)
        population.settle("long gone", None)
        assert [member.program_id for member in population.members()] == ["initial"]

    def test_programs_without_traits_and_embeddings_are_welcome(self) -> None:
        population, choices = self.evolved(2 * self.max_members, bare=True)
        assert len(choices) == 2 * self.max_members
        assert 1 <= len(population.members()) <= self.max_members

    def test_better_programs_have_more_children(self) -> None:
        # Bare: a population may well prefer what is good in other respects.
        population, _ = self.evolved(100, float, bare=True)
        best = {member.program_id for member in population.members()[: max(1, len(population.members()) // 2)]}
        chosen = [population.choose(step, np.random.default_rng(step)).parent for step in range(400)]
        # Uniform choice takes the better half 200 times; five standard deviations of that binomial are 50.
        assert sum(parent in best for parent in chosen) > 250 or len(population.members()) == 1
