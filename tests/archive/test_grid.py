from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.archive.grid import Grid, GridConfig, MapElites, learnt_bounds
from evolve.archive.pool import best_first
from evolve.archive.population import Member
from evolve.archive.selection import RankWeighted, RankWeightedConfig
from evolve.errors import ConfigError
from evolve.rng import generator
from evolve.settings import build

PARENTS = RankWeighted(RankWeightedConfig())
GIVEN = {"size": (0.0, 100.0), "nesting": (0.0, 4.0)}


def member(name: str, fitness: float, *, step: int = 1, **traits: float) -> Member:
    return Member(name, step, fitness, 100, "initial", 0, traits=traits)


def grid(*members: Member, **config) -> MapElites:
    population = MapElites(GridConfig(**{"traits": ("size", "nesting"), "bins": 4, "bounds": GIVEN, **config}), PARENTS)
    for each in members:
        population.settle("initial", each)
    return population


def names(members: Sequence[Member]) -> list[str]:
    return [each.program_id for each in members]


def test_every_trait_is_cut_into_equal_bins_and_what_lies_outside_falls_into_the_outer_ones():
    population = grid()
    cells = {size: population.cell_of(member("a", 0.0, size=size, nesting=2.5)) for size in (-5, 0, 24.9, 25, 60, 99, 100, 1e9)}
    assert cells == {-5: (0, 2), 0: (0, 2), 24.9: (0, 2), 25: (1, 2), 60: (2, 2), 99: (3, 2), 100: (3, 2), 1e9: (3, 2)}


def test_a_cell_keeps_its_best_program():
    population = grid(member("a", 1.0, size=10, nesting=1), member("b", 0.5, size=90, nesting=1))
    population.settle("a", member("c", 2.0, size=12, nesting=1))
    population.settle("a", member("d", 1.9, size=13, nesting=1))
    assert names(population.members()) == ["c", "b"]


def test_of_equals_in_a_cell_the_shorter_then_the_earlier_stays():
    population = grid(member("a", 1.0, step=1, size=10, nesting=1), member("b", 1.0, step=2, size=11, nesting=1))
    assert names(population.members()) == ["a"]


def test_programs_that_lack_a_trait_compete_among_themselves_where_the_others_place_them():
    population = grid(member("whole", 1.0, size=10, nesting=1), member("lacks", 0.5, size=10), member("too", 0.7, size=10))
    population.settle("whole", member("elsewhere", 0.1, size=90))
    population.settle("whole", member("bare", 0.0))
    assert names(population.members()) == ["whole", "too", "elsewhere", "bare"]
    assert population.cell_of(member("x", 0.0, size=10)) == (0, -1)


def test_a_trait_that_is_lacked_counts_as_lying_in_the_middle():
    assert Grid(("size", "nesting"), 5, [(0, 1), (0, 1)]).positions([(0, 4), (-1, 1)]).tolist() == [[0.0, 4.0], [2.0, 1.0]]


def test_the_worst_cell_goes_out_of_a_full_grid():
    corners = [member(f"p{i}", float(i), step=i, size=30 * i, nesting=1) for i in range(4)]
    population = grid(*corners, capacity=3)
    assert names(population.members()) == ["p3", "p2", "p1"]
    population.settle("p1", member("worse", 0.5, size=5, nesting=1))
    assert names(population.members()) == ["p3", "p2", "p1"]
    population.settle("p1", member("better", 1.5, size=5, nesting=1))
    assert names(population.members()) == ["p3", "p2", "better"]


def test_bounds_leave_room_on_both_sides_of_what_was_seen():
    # Quantiles 0.05 and 0.95 of 0 to 100 are 5 and 95; half of their distance is 45.
    assert learnt_bounds(np.arange(101.0)) == pytest.approx((-40.0, 140.0))
    assert learnt_bounds(np.array([8.0, np.nan, 8.0])) == (4.0, 12.0)
    assert learnt_bounds(np.array([0.0])) == (-0.5, 0.5)
    assert learnt_bounds(np.array([np.nan])) == (0.0, 1.0)


def test_all_are_kept_until_bounds_are_learnt_and_sorted_into_cells_then():
    first = [member(f"p{i}", float(i % 7), step=i, size=10.0 * (i // 5), nesting=1) for i in range(19)]
    population = grid(*first, bounds={"nesting": (0.0, 4.0)}, warm_up=20)
    assert len(population.members()) == 19
    assert population.cell_of(first[0]) is None
    population.settle("p6", member("p19", 0.0, step=19, size=30, nesting=1))
    cells = {population.cell_of(each) for each in [*first, member("p19", 0.0, size=30, nesting=1)]}
    assert None not in cells
    assert {population.cell_of(each) for each in population.members()} == cells
    assert len(population.members()) == len(cells) == 3


def test_a_program_never_changes_its_cell_whatever_comes_later():
    first = [member(f"p{i}", 1.0, step=i, size=float(i), nesting=1) for i in range(10)]
    population = grid(*first, bounds={}, warm_up=10)
    before = [population.cell_of(each) for each in first]
    for i in range(50):
        population.settle("p1", member(f"later{i}", float(i), step=10 + i, size=1e6 * i, nesting=i))
    assert [population.cell_of(each) for each in first] == before


def test_children_are_counted_across_the_end_of_the_warm_up():
    class Told:
        def choose(
            self, members: Sequence[Member], children: np.ndarray, rng: np.random.Generator, exploration: float = 0.0
        ) -> int:
            self.children = children.tolist()
            return 0

    parents = Told()
    population = MapElites(GridConfig(("size",), warm_up=2), parents)
    population.settle(None, member("initial", 0.0, size=1))
    population.settle("initial", None)
    population.settle("initial", member("a", 1.0, size=1000))
    population.settle("initial", None)
    population.settle("a", None)
    population.choose(5, generator(0, 5, "plan"))
    assert parents.children == [1, 3]


def test_beside_the_parent_are_shown_the_best_and_a_near_one():
    line = [member(f"p{i}", float(-i), step=i, size=10 * i + 5, nesting=1) for i in range(10)]
    population = grid(*line, bins=10)
    seen = set()
    for step in range(60):
        choice = population.choose(step, generator(0, step, "plan"))
        parent, shown = int(choice.parent[1:]), [int(name[1:]) for name in choice.inspirations]
        assert shown[0] == (1 if parent == 0 else 0)
        assert min(abs(other - parent) for other in shown[1:]) <= 2
        seen.update(shown)
    assert seen == set(range(10))


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-4, 4), st.integers(0, 30) | st.none(), st.sampled_from([0, 1, 2, None])), min_size=1, max_size=60
    ),
    st.integers(1, 12),
    st.integers(1, 20),
)
def test_a_grid_agrees_with_a_slow_obvious_version(values, capacity, warm_up):
    population = MapElites(GridConfig(("size", "nesting"), bins=3, warm_up=warm_up, capacity=capacity), PARENTS)
    seen: list[Member] = []
    for step, (fitness, size, nesting) in enumerate(values):
        traits = {name: float(value) for name, value in (("size", size), ("nesting", nesting)) if value is not None}
        seen.append(Member(f"p{step}", step, float(fitness), 100, traits=traits))
        population.settle(None if step == 0 else "p0", seen[-1])
        assert population.members()[0] == min(seen, key=best_first)
        if len(seen) < warm_up:
            assert population.members() == sorted(seen, key=best_first)
            continue
        # Keeping only the best cells at all times keeps the best cells of all times.
        elites: dict[object, Member] = {}
        for each in sorted(seen, key=best_first):
            elites.setdefault(population.cell_of(each), each)
        assert population.members() == sorted(elites.values(), key=best_first)[:capacity]


def test_settings_that_make_no_grid_are_refused():
    with pytest.raises(ConfigError, match=r"grid.traits: unknown trait 'sise'; did you mean 'size'\?"):
        GridConfig(("sise",))
    for traits in ((), ("size", "size")):
        with pytest.raises(ValueError, match="traits must name at least one, each once"):
            GridConfig(traits)
    with pytest.raises(ValueError, match="named one by one"):
        GridConfig(("instance:*",))
    with pytest.raises(ValueError, match="'lines' is not among the traits"):
        GridConfig(("size",), bounds={"lines": (0.0, 1.0)})
    for bounds in ((1.0, 1.0), (0.0,), (0.0, float("nan"))):
        with pytest.raises(ValueError, match="size must be two numbers, the smaller one first"):
            GridConfig(("size",), bounds={"size": bounds})
    for name in ("bins", "warm_up", "capacity"):
        with pytest.raises(ValueError, match=f"{name} must be >= 1, got 0"):
            GridConfig(**{name: 0})
    with pytest.raises(ValueError, match="n_inspirations must be >= 0"):
        GridConfig(n_inspirations=-1)


def test_bounds_are_written_as_a_table_of_pairs():
    config = build(GridConfig, {"traits": ["size"], "bounds": {"size": [0, 5000]}}, "[grid]")
    assert config == GridConfig(("size",), bounds={"size": (0.0, 5000.0)})
    with pytest.raises(ConfigError, match=r"\[grid\]: bounds: size must be two numbers"):
        build(GridConfig, {"traits": ["size"], "bounds": {"size": [9, 1]}}, "[grid]")
