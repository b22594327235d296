"""A run's configuration: from TOML, command line and keyword arguments to the frozen configs of the parts, and to the parts.

Later sources win: defaults, the task's ``[run]`` table, ``--config FILE.toml``, ``--set key=value``, named options. What
comes out is stored with the run, so that it can be started again from its archive alone.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from evolve.archive.embeddings import HashedNgrams
from evolve.archive.islands import IslandConfig
from evolve.archive.novelty import NoveltyConfig
from evolve.archive.selection import RankWeightedConfig
from evolve.bandits import BanditConfig
from evolve.calibration import calibrated
from evolve.edits import mutable_text
from evolve.errors import ConfigError, nearest_hint
from evolve.executors import cluster
from evolve.executors.base import Executor
from evolve.executors.cluster import ClusterConfig, RayExecutor
from evolve.executors.local import LocalExecutor
from evolve.insight import InsightConfig
from evolve.llm.agent_command import AgentCommand, check_agents
from evolve.llm.call_config import CallConfig
from evolve.llm.specs import ModelTable
from evolve.ordering import Asap, Order, Strict
from evolve.plugins import installed, load
from evolve.program import Files, Isolation, Task
from evolve.progress import StagnationConfig
from evolve.prompts.config import PromptConfig
from evolve.search import Search
from evolve.settings import anchored, assign, build, merged, read_toml
from evolve.stages import StageConfig

#: Settings that hold a path.
_PATHS = ("prices", "prompts.templates")


class OrderName(StrEnum):
    """Which results a step may see (`evolve.ordering`)."""

    STRICT = "strict"
    ASAP = "asap"


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything a run is configured by.

    Attributes:
        steps: Attempts to make a child, in all; 0, which only scores the starting programs, is for rescoring.
        max_seconds: Wall-clock seconds, in all; None is no limit.
        budget_usd: Dollars for language models, in all; None is no limit.
        seed: Seed of everything random.
        strategy: Name of the composition of population, bandit and screening (`evolve.strategies`).
        arms: What makes children: SPECs such as ``"local"`` or ``"openai/gpt-5-mini[effort=high]"``.
        models: Settings of models by name, for what does not fit into a SPEC's brackets.
        agents: Commands of coding agents, by the NAME of their SPECs ``agent/NAME``.
        prompts: What models are told.
        calls: How patiently models are called.
        prices: A price table of one's own, a TOML file like ``evolve/llm/prices.toml`` that wins over it; None takes the one that
            the environment variable ``EVOLVE_PRICES`` names, if any. `resolve` makes the path absolute.
        cache: Whether a request that was answered before, to the letter, is answered from the archive, for nothing.
        order: ``"strict"`` or ``"asap"``; None is strict when every arm is local.
        lag: In strict order, step *i* sees the results of steps up to *i - lag*; more workers than this idle.
        workers: Evaluations at once; None is as many as the processors of this machine or the nodes of a cluster hold.
        executor: Where evaluations run: ``"local"``, ``"ray"`` (a cluster of this machine alone), ``"HOST:PORT"`` or
            ``"ray://HOST:PORT"`` (one that is there), or a plug-in's name.
        cluster: How patient a run is with its cluster.
        isolation: The weakest sandbox level to accept; None takes the strongest to be had.
        stages: How steps pass through their stages.
        islands: How the population is divided.
        parents: How parents are chosen.
        options: What else the strategy can be told (`evolve.strategies`).
        bandit: How arms are chosen.
        novelty: What counts as a copy.
        stagnation: What happens while nothing better is found.
        insight: When notes on the run are made, and by whom.
    """

    steps: int = 300
    max_seconds: float | None = None
    budget_usd: float | None = None
    seed: int = 0
    strategy: str = "default"
    arms: tuple[str, ...] = ("local",)
    models: tuple[ModelTable, ...] = ()
    agents: Mapping[str, AgentCommand] = field(default_factory=dict)
    prompts: PromptConfig = PromptConfig()
    calls: CallConfig = CallConfig()
    prices: str | None = None
    cache: bool = False
    order: OrderName | None = None
    lag: int = 4
    workers: int | None = None
    executor: str = "local"
    cluster: ClusterConfig = ClusterConfig()
    isolation: Isolation | None = None
    stages: StageConfig = StageConfig()
    islands: IslandConfig = IslandConfig()
    parents: RankWeightedConfig = RankWeightedConfig()
    options: Mapping[str, Any] = field(default_factory=dict)  # Any: TOML values; the strategy checks them
    bandit: BanditConfig = BanditConfig()
    novelty: NoveltyConfig = NoveltyConfig()
    stagnation: StagnationConfig = StagnationConfig()
    insight: InsightConfig = InsightConfig()

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise ValueError(f"steps must be >= 0, got {self.steps}")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ValueError(f"max_seconds must be > 0, got {self.max_seconds}")
        if self.budget_usd is not None and not 0 < self.budget_usd < math.inf:
            raise ValueError(f"budget_usd must be > 0, got {self.budget_usd}")
        if self.seed < 0:
            raise ValueError(f"seed must be >= 0, got {self.seed}")
        if self.lag < 1:
            raise ValueError(f"lag must be >= 1, got {self.lag}")
        if self.workers is not None and self.workers < 1:
            raise ValueError(f"workers must be >= 1, got {self.workers}")
        check_agents(self.agents)
        if not self.arms:
            raise ValueError("arms must name at least one")

    @property
    def strict(self) -> bool:
        """Whether the archive depends on configuration and seed alone."""
        if self.order is None:
            return all(is_local(arm) for arm in self.arms)
        return self.order is OrderName.STRICT

    @property
    def slots(self) -> int:
        """Evaluations at once here; by default as many as there are processors, and no more than strict order can use."""
        return self.workers or min(
            self.lag, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )


def resolve(
    task: Task, *, file: Path | None = None, settings: Sequence[str] = (), options: Mapping[str, Any] | None = None
) -> RunConfig:
    """Resolves a run's configuration.

    Paths in it become absolute here: they start from the folder of the file they stand in, others from the current folder.

    Args:
        task: Its ``[run]`` table holds the task author's defaults.
        file: A TOML file with the same keys.
        settings: ``dotted.key=value`` texts.
        options: Values given by name, nested by table; None values are left out.

    Raises:
        ConfigError: If a key is unknown or a value is refused.
    """
    build(RunConfig, task.run, f"task {task.name}, task.toml [run]")
    table = anchored(task.run, _PATHS, task.folder or Path())
    if file is not None:
        table = merged(table, read_settings(file))
    given: dict[str, Any] = {}
    for setting in settings:
        assign(given, setting)
    build(RunConfig, given, "--set")
    named = _without_none(options or {})
    config = build(RunConfig, merged(table, anchored(merged(given, named), _PATHS, Path())), "run")
    if config.steps < 1:
        raise ConfigError(f"run: steps must be >= 1, got {config.steps}")
    return config


def read_settings(file: Path) -> dict[str, Any]:  # Any: TOML values
    """Reads a run's settings from a TOML file; relative paths in it start from its folder.

    Raises:
        ConfigError: If it cannot be read, a key is unknown or a value is refused.
    """
    read = read_toml(file)
    build(RunConfig, read, str(file))
    return anchored(read, _PATHS, file.parent)


def _without_none(table: Mapping[str, Any]) -> dict[str, Any]:
    trimmed = {key: _without_none(value) if isinstance(value, Mapping) else value for key, value in table.items()}
    return {key: value for key, value in trimmed.items() if value is not None and value != {}}


# The parts


def is_local(arm: str) -> bool:
    """Says whether an arm, or a SPEC of arms, is a free local mutator, which repeats itself and costs nothing."""
    return arm == "local" or arm.startswith("local/")


def make_executor(task: Task, config: RunConfig) -> Executor:
    """Makes the executor that a configuration names.

    Raises:
        ConfigError: If there is none of that name.
    """
    plugins = installed("evolve.executors")
    if config.executor == "local":
        return LocalExecutor(task, workers=config.slots, isolation=config.isolation)
    address = cluster.parse(config.executor)
    if address is not None:
        return RayExecutor(task, address, config.workers, config.isolation, config.cluster)
    if config.executor in plugins:
        factory = load(plugins[config.executor])
        if callable(factory):
            made: Executor = factory(task, workers=config.slots, isolation=config.isolation)
            return made
    hint = nearest_hint(config.executor, ["local", "ray", *plugins])
    raise ConfigError(f"unknown executor {config.executor!r}; {hint}; a Ray cluster goes by HOST:PORT or ray://HOST:PORT")


def make_order(config: RunConfig, executor: Executor) -> Order:
    """Makes the order that a configuration names.

    Args:
        config: The run's configuration.
        executor: Where evaluations run; a cluster's size may change meanwhile.
    """
    return Strict(config.lag) if config.strict else Asap(lambda: config.stages.proposals + executor.slots)


def make_embed(config: RunConfig, search: Search) -> Callable[[Files], np.ndarray] | None:
    """Makes what embeds programs by their mutable text; None when neither screening nor the population compares more than names.

    Raises:
        ConfigError: If a model is to embed them, which takes a session (`evolve.session`).
    """
    if not config.novelty.hashes:
        raise ConfigError(f"novelty.embedder: {config.novelty.embedder!r} embeds in runs alone; leave it out here")
    return _embed() if config.novelty.compares or search.embeds else None


def _embed() -> Callable[[Files], np.ndarray]:
    embedder = HashedNgrams()
    return lambda files: embedder.embed(mutable_text(files))


def with_limit(task: Task, config: RunConfig) -> RunConfig:
    """Finds how near programs of a task may be, where a new run's configuration leaves that to be found.

    What comes out is recorded with the run, so that resuming and repeating it screen alike; a recorded run is never calibrated
    anew, and one that was recorded without a limit goes on without. Where a model embeds programs, the limit is found once the run
    has begun (`evolve.session`): what that costs is the run's.
    """
    if not config.novelty.calibrate or config.novelty.compares or not config.novelty.hashes:
        return config
    limit = _limit(tuple(task.files.items()), config.seed)
    return dataclasses.replace(config, novelty=dataclasses.replace(config.novelty, min_distance=limit))


# A run asks twice, to be made and to be repeated; a comparison asks for every strategy.
@functools.lru_cache(maxsize=16)
def _limit(files: tuple[tuple[str, str], ...], seed: int) -> float | None:
    return calibrated(dict(files), _embed(), seed).min_distance
