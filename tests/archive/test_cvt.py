import numpy as np
import pytest

from evolve.archive.cvt import CvtConfig, CvtMapElites, Voronoi, expanded, fit_centroids
from evolve.archive.pool import best_first
from evolve.archive.population import Member
from evolve.archive.selection import RankWeighted, RankWeightedConfig
from evolve.errors import ConfigError
from evolve.rng import generator

PARENTS = RankWeighted(RankWeightedConfig())


def member(name: str, fitness: float, step: int = 1, **traits: float) -> Member:
    return Member(name, step, fitness, 100, "initial", 0, traits=traits)


def drawn(count: int) -> list[Member]:
    rng = generator(0, 0, "test")
    return [
        member(f"p{i}", float(rng.integers(9)), i, size=float(rng.integers(500)), nesting=float(rng.integers(4)))
        for i in range(count)
    ]


def test_centroids_are_as_many_as_asked_for_and_the_same_every_time():
    rows = np.random.default_rng(0).standard_normal((7, 2))
    centroids = fit_centroids(rows, 12)
    assert centroids.shape == (12, 2)
    assert len(np.unique(centroids, axis=0)) == 12
    assert np.array_equal(centroids, fit_centroids(rows, 12))


def test_programs_that_are_all_alike_still_have_many_cells_around_them():
    division = Voronoi(("size", "nesting"), [member("a", 0.0, size=100, nesting=0)] * 5, 10)
    around = [member("x", 0.0, size=float(size), nesting=float(depth)) for size in range(-200, 401, 20) for depth in range(-3, 4)]
    assert len({division.cell(each) for each in around}) >= 8


def test_a_program_belongs_to_the_nearest_centroid_of_standardised_traits():
    first = drawn(30)
    division = Voronoi(("size", "nesting"), first, 8)
    sizes, depths = (np.array([each.traits[name] for each in first]) for name in ("size", "nesting"))
    centroids = division.positions([(i,) for i in range(8)])
    for each in first:
        row = [(each.traits["size"] - sizes.mean()) / sizes.std(), (each.traits["nesting"] - depths.mean()) / depths.std()]
        assert division.cell(each) == (int(np.argmin(((centroids - row) ** 2).sum(axis=1))),)


def test_a_program_that_lacks_a_trait_is_placed_by_the_others():
    division = Voronoi(("size", "nesting"), [*drawn(30), member("lacks", 0.0, size=10)], 8)
    centroids = division.positions([(i,) for i in range(8)])
    low = division.cell(member("low", 0.0, size=-1e6))
    high = division.cell(member("high", 0.0, size=1e6))
    assert (low, high) == ((int(np.argmin(centroids[:, 0])),), (int(np.argmax(centroids[:, 0])),))
    assert division.cell(member("bare", 0.0)) == (0,)


def test_traits_that_nobody_had_separate_nobody():
    division = Voronoi(("size", "metric:loss"), [member(f"p{i}", 0.0, size=i) for i in range(9)], 4)
    assert division.positions([(0,)]).shape == (1, 1)
    bare = Voronoi(("metric:loss",), [member("a", 0.0)], 4)
    assert bare.cell(Member("b", 1, 0.0, 1, traits={"metric:loss": 3.0})) == (0,)


def test_numbers_of_any_size_have_a_cell():
    first = [member(f"p{i}", 0.0, size=value) for i, value in enumerate([-1e308, 1e308, 0.0, 1e-300])]
    division = Voronoi(("size",), first, 3)
    assert all(0 <= division.cell(each)[0] < 3 for each in first)


def test_all_instances_stand_for_those_of_the_first_programs():
    members = [Member("a", 1, 0.0, 1, traits={"size": 1.0, "instance:y": 1.0}), Member("b", 2, 0.0, 1, traits={"instance:x": 1.0})]
    assert expanded(("size", "instance:*"), members) == ["size", "instance:x", "instance:y"]
    assert expanded(("instance:y", "instance:*"), members) == ["instance:y", "instance:x"]
    assert expanded(("size",), members) == ["size"]


def test_every_cell_keeps_the_best_program_ever_settled_there():
    population = CvtMapElites(CvtConfig(("size", "nesting"), n_cells=6, warm_up=10), PARENTS)
    members = drawn(80)
    for step, each in enumerate(members):
        population.settle(None if step == 0 else "p0", each)
        assert population.members()[0] == min(members[: step + 1], key=best_first)
    elites: dict[object, Member] = {}
    for each in sorted(members, key=best_first):
        elites.setdefault(population.cell_of(each), each)
    assert population.members() == sorted(elites.values(), key=best_first)
    assert 1 < len(population.members()) <= 6


def test_settings_that_make_no_tessellation_are_refused():
    with pytest.raises(ConfigError, match=r"cvt\.traits: unknown trait"):
        CvtConfig(("depth",))
    with pytest.raises(ValueError, match="traits must name at least one"):
        CvtConfig(())
    for name in ("n_cells", "warm_up"):
        with pytest.raises(ValueError, match=f"{name} must be >= 1, got 0"):
            CvtConfig(**{name: 0})
    with pytest.raises(ValueError, match="n_inspirations must be >= 0"):
        CvtConfig(n_inspirations=-1)
