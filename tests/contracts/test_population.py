from evolve.archive.islands import IslandConfig, Islands
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
