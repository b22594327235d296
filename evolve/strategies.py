"""Strategies: named compositions of population, parent choice, bandit and screening.

A strategy is a function of task, configuration and the names of the arms that returns an empty `Search`. The built-in ones stand
in `BUILT_IN`; other packages add theirs by entry point (group ``evolve.strategies``), one function in one file:

    def make(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
        mine = build(MyConfig, config.options, "options")      # a frozen dataclass of one's own
        return compose(task, config, arms, MyPopulation(mine))

What a strategy can be told beyond the tables of `RunConfig` stands in ``[options]``. A setting that a strategy does not heed is
refused where it was changed: none is silently without effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from evolve.archive.chains import BestOfN, Sequential
from evolve.archive.cvt import CvtConfig, CvtMapElites
from evolve.archive.front import Front, FrontConfig
from evolve.archive.grid import GridConfig, MapElites
from evolve.archive.islands import IslandConfig, Islands
from evolve.archive.novelty import NoveltyScreen
from evolve.archive.population import Population
from evolve.archive.selection import (
    Beam,
    BeamConfig,
    ParentChoice,
    RankWeighted,
    RankWeightedConfig,
    SigmoidConfig,
    SigmoidWeighted,
    Tournament,
    TournamentConfig,
)
from evolve.bandits import Bandit, BanditConfig, PercentileReward, make_bandit
from evolve.config import RunConfig
from evolve.errors import ConfigError, nearest_hint
from evolve.insight import InsightConfig
from evolve.plugins import installed, load
from evolve.program import Task
from evolve.progress import Progress, StagnationConfig
from evolve.prompts.config import PromptConfig
from evolve.search import Hindsight, Search
from evolve.settings import build

Maker = Callable[[Task, RunConfig, Sequence[str]], Search]
"""Makes a strategy's empty state from task, configuration and the names of the arms."""

GROUP = "evolve.strategies"


class Strategy(NamedTuple):
    """A built-in strategy.

    Attributes:
        make: Makes its state.
        heeds: The settings of `RunConfig` that it heeds, of those in `_SETTINGS`.
        about: What it does, in a line.
    """

    make: Maker
    heeds: frozenset[str]
    about: str


class _Setting(NamedTuple):
    """A table or a key that not every strategy heeds.

    Attributes:
        changed: Whether a configuration asks here for anything but the default. What is turned off is off without being heeded.
        reason: Why a strategy does not heed it.
    """

    changed: Callable[[RunConfig], bool]
    reason: str


_SETTINGS: Mapping[str, _Setting] = {
    "[islands]": _Setting(lambda config: config.islands != IslandConfig(), "it brings its own population"),
    "[parents]": _Setting(lambda config: config.parents != RankWeightedConfig(), "it chooses parents in a way of its own"),
    "[options]": _Setting(lambda config: config.options != {}, "it has none"),
    "[insight]": _Setting(
        lambda config: config.insight.every > 0 and config.insight != InsightConfig(), "its prompts hold no notes on the run"
    ),
    "[stagnation]": _Setting(
        lambda config: config.stagnation.after > 0 and config.stagnation != StagnationConfig(), "it asks for no new approach"
    ),
    "stagnation.protect": _Setting(
        lambda config: config.stagnation.after > 0 and config.stagnation.protect not in (0, StagnationConfig().protect),
        "it protects nothing, for it keeps what is good or different and nothing besides; 0 says so",
    ),
    "prompts.n_failures": _Setting(
        lambda config: config.prompts.n_failures not in (0, PromptConfig().n_failures),
        "how many failures its prompts show is part of it",
    ),
}
_TOLD = frozenset({"[insight]", "[stagnation]", "prompts.n_failures"})
_ON_ISLANDS = _TOLD | {"[islands]", "stagnation.protect"}


def compose(
    task: Task,
    config: RunConfig,
    arms: Sequence[str],
    population: Population,
    *,
    bandit: BanditConfig | None = None,
    explores: bool = False,
    hindsight: Hindsight = Hindsight(),
) -> Search:
    """Puts a population together with the configured bandit and screening.

    Args:
        task: What is being solved.
        config: The run's configuration.
        arms: Names of the arms.
        population: Empty.
        bandit: In place of the configured one.
        explores: Whether the choice of parents is told how long the search has stood still.
        hindsight: What prompts hold of the steps before.

    Raises:
        ConfigError: If the bandit's settings do not fit the arms.
    """
    chosen = config.bandit if bandit is None else bandit
    return Search(
        seed=config.seed,
        direction=task.objective.direction,
        population=population,
        bandit=_make_bandit(arms, chosen),
        reward=PercentileReward(chosen.reward_window),
        screen=NoveltyScreen(config.novelty),
        progress=Progress(config.stagnation),
        explores=explores,
        hindsight=hindsight,
    )


def strategy_names() -> list[str]:
    """Names that `make_search` knows, built-in ones first."""
    return [*BUILT_IN, *(name for name in installed(GROUP) if name not in BUILT_IN)]


def make_search(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    """Makes the empty state of a run by its strategy.

    Raises:
        ConfigError: If there is no strategy of that name, or it is told something that it does not heed.
        TaskError: If it belongs to a package that cannot be loaded.
    """
    name = config.strategy
    if name in BUILT_IN:
        _refuse_unheeded(name, config)
        return BUILT_IN[name].make(task, config, arms)
    plugins = installed(GROUP)
    if name not in plugins:
        raise ConfigError(f"unknown strategy {name!r}; {nearest_hint(name, strategy_names())}")
    make = load(plugins[name])
    if not callable(make):
        raise ConfigError(f"strategy {name!r}: {plugins[name].value} is not callable; it must take task, config and arms")
    made: Search = make(task, config, arms)
    return made


def _refuse_unheeded(name: str, config: RunConfig) -> None:
    heeds = BUILT_IN[name].heeds
    for key, setting in _SETTINGS.items():
        if key not in heeds and setting.changed(config):
            heeded = ", ".join(sorted(heeds)) or "none"
            raise ConfigError(
                f"strategy {name} does not heed {key}: {setting.reason}; leave it out (of the settings that not every strategy "
                f"heeds, this one heeds {heeded})"
            )


def _make_bandit(arms: Sequence[str], config: BanditConfig) -> Bandit:
    try:
        return make_bandit(arms, config)
    except ValueError as error:
        raise ConfigError(f"bandit: {error}") from error


# The built-in ones


def _default(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    return compose(task, config, arms, _islands(config, RankWeighted(config.parents)))


def _islands(config: RunConfig, parents: ParentChoice, *, at_first: int = 1) -> Islands:
    """Makes islands as configured; of ``at_first`` where nobody says how many."""
    given = config.islands
    islands = given if given.n_islands is not None else replace(given, n_islands=at_first)
    return Islands(islands, parents, protect=config.stagnation.protect)


def _shinka(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    population = _islands(config, SigmoidWeighted(build(SigmoidConfig, config.options, "options")), at_first=2)
    # Its own bandit, unless another one was chosen.
    bandit = BanditConfig(name="asymmetric") if config.bandit == BanditConfig() else config.bandit
    return compose(task, config, arms, population, bandit=bandit)


def _beam(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    options = build(BeamConfig, config.options, "options")
    islands = IslandConfig(n_islands=1, capacity=max(IslandConfig().capacity, options.width))
    return compose(task, config, arms, Islands(islands, Beam(options)))


def _tournament(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    options = build(TournamentConfig, config.options, "options")
    return compose(task, config, arms, _islands(config, Tournament(options)))


#: Finished steps without anything better after which strategy ``adaptive`` founds an island, and turns until it gives one up.
_ADAPTS_AFTER = 60


def _adaptive(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    """Founds and gives up islands on stagnation, and explores the more the longer nothing improves.

    Source: AdaEvolve (SkyDiscover). There the intensity of exploration stays as it was while nothing improves, and hangs on the
    unit of the score; here both follow counts of steps (`evolve.progress`).
    """
    given = config.islands
    islands = replace(
        given,
        n_islands=given.n_islands or 2,
        spawn_after=given.spawn_after or _ADAPTS_AFTER,
        retire_after=given.retire_after or _ADAPTS_AFTER,
    )
    population = Islands(islands, RankWeighted(config.parents), protect=config.stagnation.protect)
    return compose(task, config, arms, population, explores=True)


def _mapelites(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    grid = build(GridConfig, config.options, "options")
    return compose(task, config, arms, MapElites(grid, RankWeighted(config.parents)))


def _cvt(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    return compose(task, config, arms, CvtMapElites(build(CvtConfig, config.options, "options"), RankWeighted(config.parents)))


def _pareto(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    front = build(FrontConfig, config.options, "options")
    return compose(task, config, arms, Front(front, RankWeighted(config.parents), direction=task.objective.direction))


def _best_of_n(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    """Draws independent samples: no prompt holds anything of another step."""
    return compose(task, config, arms, BestOfN(), hindsight=Hindsight(failures=0, run=False))


def _sequential(task: Task, config: RunConfig, arms: Sequence[str]) -> Search:
    """Goes on from where the chain is: its latest program with how that came about, and the latest change of it if that failed.

    Whoever changes a program again and again has the last error before them; of errors before that, and of the best program,
    a chain keeps nothing.
    """
    return compose(task, config, arms, Sequential(), hindsight=Hindsight(failures=1, run=False))


BUILT_IN: Mapping[str, Strategy] = {
    "default": Strategy(_default, _ON_ISLANDS | {"[parents]"}, "one island or more, parents by rank and number of children"),
    "shinka": Strategy(
        _shinka, _ON_ISLANDS | {"[options]"}, "two islands, parents by a sigmoid of fitness, asymmetric UCB (like ShinkaEvolve)"
    ),
    "adaptive": Strategy(
        _adaptive,
        _ON_ISLANDS | {"[parents]"},
        "islands that are founded and given up on stagnation, parents less by rank the longer nothing improves (like AdaEvolve)",
    ),
    "mapelites": Strategy(
        _mapelites, _TOLD | {"[parents]", "[options]"}, "the best program in each cell of a grid of traits (like OpenEvolve)"
    ),
    "cvt": Strategy(_cvt, _TOLD | {"[parents]", "[options]"}, "the best program near each of many centroids of traits"),
    "pareto": Strategy(_pareto, _TOLD | {"[parents]", "[options]"}, "a front of several objectives, or of instances (like GEPA)"),
    "tournament": Strategy(_tournament, _ON_ISLANDS | {"[options]"}, "islands, parents by tournament"),
    "beam": Strategy(_beam, _TOLD | {"[options]"}, "the best few are worked on alike"),
    "best_of_n": Strategy(
        _best_of_n, frozenset(), "independent samples from the initial program; no prompt holds anything of another step"
    ),
    "sequential": Strategy(
        _sequential, frozenset(), "one chain: every step changes the latest program; prompts hold its latest failure alone"
    ),
}
