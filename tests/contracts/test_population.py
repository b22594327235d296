from evolve.archive.cvt import CvtConfig, CvtMapElites
from evolve.archive.front import Front, FrontConfig
from evolve.archive.grid import GridConfig, MapElites
from evolve.archive.islands import IslandConfig, Islands
from evolve.archive.pool import Crowding
from evolve.archive.population import Population
from evolve.archive.selection import RankWeighted, RankWeightedConfig
from evolve.testing.population import PopulationContract


class TestIslands(PopulationContract):
    max_members = 2 * 20

    def make(self) -> Population:
        return Islands(IslandConfig(n_islands=2, capacity=20), RankWeighted(RankWeightedConfig()))


class TestOneTinyIsland(PopulationContract):
    max_members = 3

    def make(self) -> Population:
        return Islands(IslandConfig(n_islands=1, capacity=3, migration_every=1), RankWeighted(RankWeightedConfig()))


class TestManyIslandsThatMigrateOften(PopulationContract):
    max_members = 7 * 5

    def make(self) -> Population:
        config = IslandConfig(n_islands=7, capacity=5, migration_every=3, migrants=4, n_inspirations=9)
        return Islands(config, RankWeighted(RankWeightedConfig(pressure=3.0, offspring_discount=1.0)))


class TestIslandsThatComeAndGo(PopulationContract):
    max_members = 4 * 6

    def make(self) -> Population:
        config = IslandConfig(
            n_islands=2, capacity=6, topology="both", migration_every=7, retire_after=5, spawn_after=10, max_islands=4
        )
        return Islands(config, RankWeighted(RankWeightedConfig()))

    def test_negative_fitness_is_below_zero_and_nothing_else(self) -> None:
        # An island that is emptied takes the second best program along.
        assert self.evolved(80, lambda step: float(step) - 1e6)[0].members()[0].program_id == "initial"


class TestIslandsCrowdedByDistance(PopulationContract):
    max_members = 2 * 10

    def make(self) -> Population:
        config = IslandConfig(n_islands=2, capacity=10, crowding=Crowding.DISTANCE)
        return Islands(config, RankWeighted(RankWeightedConfig()))


class TestGrid(PopulationContract):
    max_members = 30

    def make(self) -> Population:
        return MapElites(GridConfig(bins=4, capacity=30), RankWeighted(RankWeightedConfig()))


class TestGridOfGivenBounds(PopulationContract):
    max_members = 5

    def make(self) -> Population:
        return MapElites(
            GridConfig(("size", "metric:loss"), bounds={"size": (0.0, 20.0), "metric:loss": (0.0, 20.0)}, capacity=5),
            RankWeighted(RankWeightedConfig()),
        )


class TestCvt(PopulationContract):
    max_members = 20

    def make(self) -> Population:
        return CvtMapElites(CvtConfig(("size", "instance:*"), n_cells=12, warm_up=20), RankWeighted(RankWeightedConfig()))


class TestFrontOfInstances(PopulationContract):
    max_members = 40 + 10

    def make(self) -> Population:
        return Front(FrontConfig(), RankWeighted(RankWeightedConfig()))


class TestSmallFrontOfSeveralObjectives(PopulationContract):
    max_members = 6 + 3

    def make(self) -> Population:
        config = FrontConfig(("size:minimize", "metric:speed:maximize", "instance:*:minimize"), capacity=6, reserve=3)
        return Front(config, RankWeighted(RankWeightedConfig()))


class TestFrontOfTheObjectiveAlone(PopulationContract):
    max_members = 1 + 4

    def make(self) -> Population:
        return Front(FrontConfig((), capacity=8, reserve=4), RankWeighted(RankWeightedConfig()))
