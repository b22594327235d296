from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.archive.front import Axis, Front, FrontConfig, read_axis
from evolve.archive.population import Member
from evolve.archive.selection import RankWeighted, RankWeightedConfig
from evolve.errors import ConfigError
from evolve.program import Direction
from evolve.rng import generator

PARENTS = RankWeighted(RankWeightedConfig())
FAST = ("cpu_s:minimize",)


def member(name: str, fitness: float, step: int = 1, *, size: int = 100, **traits: float) -> Member:
    return Member(name, step, fitness, size, "initial", 0, traits={key.replace("__", ":"): value for key, value in traits.items()})


def front(*members: Member, direction: Direction = Direction.MAXIMIZE, **config) -> Front:
    population = Front(FrontConfig(**config), PARENTS, direction=direction)
    for each in members:
        population.settle("initial", each)
    return population


def on_front(population: Front) -> list[str]:
    return [each.program_id for each in population.on_front()]


def names(population: Front) -> list[str]:
    return [each.program_id for each in population.members()]


def parents_of(population: Front, draws: int = 400) -> Counter[str]:
    return Counter(population.choose(step, generator(0, step, "plan")).parent for step in range(draws))


def test_what_is_better_in_no_respect_leaves_the_front_for_the_reserve():
    population = front(member("slow", 3.0, cpu_s=9), member("fast", 1.0, cpu_s=1), objectives=FAST, reserve=1)
    assert on_front(population) == ["slow", "fast"]
    population.settle("slow", member("both", 4.0, cpu_s=1))
    assert on_front(population) == ["both"]
    assert names(population) == ["both", "slow"]


def test_a_dominated_child_goes_into_the_reserve_if_it_is_good_enough():
    population = front(member("a", 3.0, cpu_s=1), member("b", 2.0, cpu_s=2), member("c", 1.0, cpu_s=2), objectives=FAST, reserve=1)
    assert on_front(population) == ["a"]
    assert names(population) == ["a", "b"]


def test_of_equals_the_shorter_then_the_earlier_is_on_the_front():
    population = front(member("long", 1.0, 1, cpu_s=1, size=90), member("late", 1.0, 3, cpu_s=1, size=10), objectives=FAST)
    population.settle("long", member("early", 1.0, 2, cpu_s=1, size=10))
    assert on_front(population) == ["early"]


def test_directions_are_each_objectives_own():
    population = front(
        member("a", 0.0, size=1, metric__gain=5.0, nesting=3.0),
        member("b", 0.0, size=1, metric__gain=4.0, nesting=2.0),
        member("c", 0.0, size=1, metric__gain=3.0, nesting=3.0),
        objectives=("metric:gain:maximize", "nesting:minimize"),
    )
    assert sorted(on_front(population)) == ["a", "b"]


def test_instances_follow_the_direction_of_the_task():
    members = [member("a", 2.0, instance__x=1.0, instance__y=5.0), member("b", 1.0, instance__x=2.0, instance__y=6.0)]
    assert on_front(front(*members)) == ["a", "b"]
    assert on_front(front(*members, direction=Direction.MINIMIZE)) == ["a"]
    assert on_front(front(*members, objectives=("instance:*:minimize",))) == ["a"]


def test_a_program_that_lacks_a_value_is_placed_by_the_others():
    population = front(member("whole", 1.0, cpu_s=1), member("lacks", 2.0), member("worse", 0.5), objectives=FAST)
    assert on_front(population) == ["lacks", "whole"]


def test_instances_seen_later_become_axes_and_earlier_programs_lack_them():
    population = front(member("old", 2.0, instance__x=2.0), member("new", 1.0, instance__x=1.0, instance__y=0.0))
    assert on_front(population) == ["old", "new"]
    assert population.traits == {"instance:*"}


def test_where_the_front_is_most_crowded_one_goes_out():
    line = [member(name, fitness, cpu_s=fitness) for name, fitness in [("a", 0.0), ("b", 4.0), ("c", 5.0), ("d", 10.0)]]
    population = front(*line, objectives=FAST, capacity=3, reserve=0)
    # b spans 5 and c spans 6 of 10, on either axis.
    assert on_front(population) == ["d", "c", "a"]


def test_the_best_objective_stays_on_a_front_of_one():
    population = front(member("fast", 1.0, cpu_s=1), member("good", 2.0, cpu_s=2), objectives=FAST, capacity=1)
    population.settle("good", member("faster", 0.0, cpu_s=0))
    assert on_front(population) == ["good"]
    assert names(population) == ["good", "fast", "faster"]


def test_parents_come_in_proportion_to_the_instances_that_they_are_best_on():
    population = front(
        member("three", 3.0, instance__a=1.0, instance__b=1.0, instance__c=1.0, instance__d=0.0),
        member("one", 1.0, instance__a=0.0, instance__b=0.0, instance__c=0.0, instance__d=1.0),
        member("none", 2.0, instance__a=0.5, instance__b=0.5, instance__c=0.5, instance__d=0.5),
        objective_share=0.0,
    )
    drawn = parents_of(population)
    # 400 draws of probability 3/4: five standard deviations are 43.
    assert 257 < drawn["three"] < 343
    assert drawn["three"] + drawn["one"] == 400


def test_without_instances_the_less_crowded_of_two_is_the_parent():
    line = [member(f"p{i}", float(i), cpu_s=float(i)) for i in (0, 1, 2, 3, 20)]
    drawn = parents_of(front(*line, objectives=FAST, objective_share=0.0))
    # The ends lose to nobody; p1 and p2 only meet each other or themselves when they win.
    assert min(drawn["p0"], drawn["p20"]) > max(drawn["p1"], drawn["p2"])
    assert set(drawn) == {"p0", "p1", "p2", "p3", "p20"}


def test_a_front_of_one_program_does_not_make_it_every_parent():
    population = front(*(member(f"p{i}", float(i), i, instance__only=float(i)) for i in range(20)), reserve=5, objective_share=0.0)
    assert on_front(population) == ["p19"]
    drawn = parents_of(population)
    assert len(drawn) > 1
    assert set(drawn) <= {"p19", "p18", "p17", "p16", "p15", "p14"}
    assert max(drawn, key=lambda name: drawn[name]) == "p19"


def test_the_reserve_has_children_too():
    population = front(
        member("a", 3.0, 1, cpu_s=9), member("b", 2.0, 2, cpu_s=1), member("dominated", 2.5, 3, cpu_s=9), objectives=FAST
    )
    assert on_front(population) == ["a", "b"]
    # A quarter of the parents are chosen by the objective; the second of three is one in five of those.
    assert 0 < parents_of(population)["dominated"] < 60


def test_beside_the_parent_is_shown_who_is_better_where_it_is_weak():
    population = front(
        member("all-round", 9.0, 0, instance__x=1.0, instance__y=1.0, instance__z=0.0),
        member("z", 0.0, 1, instance__x=0.0, instance__y=0.0, instance__z=9.0),
        *(member(f"filler{i}", 1.0 + i, 2 + i, instance__x=0.5, instance__y=0.5) for i in range(8)),
    )
    shown = [population.choose(step, generator(0, step, "plan")) for step in range(200)]
    assert all("z" in choice.inspirations for choice in shown if choice.parent == "all-round")
    assert sum(choice.parent == "all-round" for choice in shown) > 50


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-3, 3), st.integers(0, 4) | st.none(), st.integers(0, 3) | st.none(), st.integers(0, 3)),
        min_size=1,
        max_size=50,
    ),
    st.integers(1, 6),
    st.integers(0, 4),
)
def test_a_front_is_mutually_non_dominating_bounded_and_has_the_best(values, capacity, reserve):
    population = front(objectives=("cpu_s:minimize", "instance:*"), capacity=capacity, reserve=reserve)
    best = -np.inf
    for step, (fitness, cpu, x, y) in enumerate(values):
        traits = {"cpu_s": cpu, "instance:x": x, "instance:y": y if step > 5 else None}
        kept = {name: float(value) for name, value in traits.items() if value is not None}
        population.settle(None if step == 0 else "p0", Member(f"p{step}", step, float(fitness), 100 + y, traits=kept))
        best = max(best, fitness)
        members = population.on_front()
        assert members[0].fitness == population.members()[0].fitness == best
        assert 1 <= len(members) <= capacity
        assert len(population.members()) <= capacity + reserve
        rows = [axes(each) for each in members]
        for i, ours in enumerate(rows):
            for j, theirs in enumerate(rows):
                assert i == j or any(mine > other for mine, other in zip(ours, theirs, strict=True))


def axes(each: Member) -> list[float]:
    return [each.fitness, -each.traits.get("cpu_s", np.inf), *(each.traits.get(f"instance:{name}", -np.inf) for name in "xy")]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=40))
def test_a_front_that_is_never_full_agrees_with_a_slow_obvious_version(values):
    members = [member(f"p{i}", float(fitness), i, cpu_s=float(cpu)) for i, (fitness, cpu) in enumerate(values)]
    population = front(*members, objectives=FAST, capacity=100)

    def dominates(a: Member, b: Member) -> bool:
        ours, theirs = axes(a)[:2], axes(b)[:2]
        return all(x >= y for x, y in zip(ours, theirs, strict=True)) and (ours != theirs or a.step < b.step)

    expected = [each for each in members if not any(dominates(other, each) for other in members)]
    assert sorted(on_front(population)) == sorted(each.program_id for each in expected)


def test_objectives_are_a_trait_and_a_direction():
    assert read_axis("metric:a:b:minimize", Direction.MAXIMIZE) == Axis("metric:a:b", Direction.MINIMIZE)
    assert read_axis("instance:hard", Direction.MINIMIZE) == Axis("instance:hard", Direction.MINIMIZE)
    with pytest.raises(ConfigError, match="'size' needs a direction; write 'size:minimize' or 'size:maximize'"):
        FrontConfig(("size",))
    with pytest.raises(ConfigError, match=r"front\.objectives: unknown trait 'sise'; did you mean 'size'\?"):
        FrontConfig(("sise:minimize",))


def test_settings_that_make_no_front_are_refused():
    with pytest.raises(ValueError, match="objectives must name each trait once"):
        FrontConfig(("size:minimize", "size:maximize"))
    with pytest.raises(ValueError, match="capacity must be >= 1, got 0"):
        FrontConfig(capacity=0)
    for name in ("reserve", "n_inspirations"):
        with pytest.raises(ValueError, match=f"{name} must be >= 0, got -1"):
            FrontConfig(**{name: -1})
    with pytest.raises(ValueError, match=r"objective_share must lie in \[0, 1\], got 1.5"):
        FrontConfig(objective_share=1.5)
