"""Which traces on which machines a task scores policies by: read from the task's ``placement.toml``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from evolve.errors import ConfigError, nearest_hint
from evolve.evaluators.placement.cluster import CLUSTERS, Cluster
from evolve.evaluators.placement.presets import PRESETS, SPLITS, trace_of
from evolve.evaluators.placement.scenario import Rules, Scenario
from evolve.evaluators.placement.trace import Trace, load_trace, read_eplb, sample_tokens
from evolve.rng import generator
from evolve.settings import build, read_toml

#: Parts of a recorded trace that belong to the splits, in the order of time.
_PARTS = {"search": (0.0, 0.5), "validation": (0.5, 0.75), "hidden": (0.75, 1.0)}

#: Of generated traces.
_SIZES = ("layers", "windows", "steps_per_window", "searched", "hidden")

#: Tokens sampled for each window and layer of a recorded trace that holds loads alone.
_SAMPLED = 256


@dataclass(frozen=True, slots=True)
class ProblemConfig:
    """How a task measures.

    Attributes:
        cluster: Name of the machines, one of `CLUSTERS`.
        presets: Names of generated traces, of `PRESETS`.
        recorded: Files of recorded traces, relative to the task's folder: ``.json`` in EPLB's public format, or ``.npz`` as
            `save_trace` writes it. They are split in time: half for searches, a quarter each for validation and as hidden.
        layers: Of generated traces.
        windows: Of generated traces, that count; those of ``rules.history`` come before.
        steps_per_window: Of generated traces: what copying experts is shared out over.
        searched: Generated traces of each preset that searches use: with few, programs fit them and not what they stand for.
        hidden: Generated traces of each preset that finished results are tried on.
        eplb_window: Steps that loads in EPLB's format are summed over.
        eplb_k: Experts that a token goes to in such a trace.
        eplb_groups: Groups of experts there.
        group_limit: Groups that a token of a recorded trace without tokens may choose from.
        secret: What is mixed into the chance of generated traces. If it is empty, a program made with this source at hand
            could make them again, hidden ones too, and know every window to come.
        overlap: Share of the shorter of computation and communication that hides behind the longer; in [0, 1].
        rules: What is asked of policies and charged to them.
    """

    cluster: str = "h800"
    presets: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    layers: int = 16
    windows: int = 16
    steps_per_window: int = 100
    searched: int = 1
    hidden: int = 5
    eplb_window: int = 100
    eplb_k: int = 8
    eplb_groups: int = 8
    group_limit: int = 4
    secret: str = ""
    overlap: float = 0.0
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        named = (("cluster", self.cluster, CLUSTERS), *(("presets", name, PRESETS) for name in self.presets))
        for key, name, known in named:
            if name not in known:
                raise ValueError(f"{key}: {name!r}; {nearest_hint(name, list(known))}")
        for key in ("presets", "recorded"):
            names = getattr(self, key)
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"{key}: {twice[0]!r} is there more than once; scores are told by name")
        if not self.presets and not self.recorded:
            raise ValueError(f"name presets or recorded traces; presets are {', '.join(PRESETS)}")
        for key in (*_SIZES, "eplb_window", "eplb_k", "eplb_groups", "group_limit"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be >= 1, got {getattr(self, key)}")

    @classmethod
    def read(cls, path: Path) -> ProblemConfig:
        """Reads the file.

        Raises:
            ConfigError: If it is not TOML, has an unknown key or a value that none can be.
        """
        return build(cls, read_toml(path), path.name)


class Problem:
    """Machines and traces of a task."""

    def __init__(self, config: ProblemConfig, folder: Path) -> None:
        """Prepares.

        Args:
            config: What to measure.
            folder: The task's, where recorded traces lie.
        """
        self.config = config
        self.cluster: Cluster = replace(CLUSTERS[config.cluster], overlap=config.overlap)
        self._folder = folder

    @property
    def rules(self) -> Rules:
        """What is asked of policies and charged to them."""
        return self.config.rules

    def scenarios(self, split: str, numbers: range) -> list[Scenario]:
        """What policies are asked about: each preset's traces with these numbers, then the recorded ones, whatever the numbers.

        Raises:
            ConfigError: If a recorded trace cannot be read, is too short, or does not fit the machines.
        """
        config = self.config
        sizes = {
            "layers": config.layers,
            "windows": config.windows + self.rules.history,
            "steps_per_window": config.steps_per_window,
        }
        made = [trace_of(preset, split, number, secret=config.secret, **sizes) for preset in config.presets for number in numbers]
        found = [*made, *(self._recorded(name, split) for name in self.config.recorded)]
        return [Scenario(trace, self.cluster, self.rules) for trace in found]

    def _recorded(self, name: str, split: str) -> Trace:
        path = self._folder / name
        whole = self._read(path)
        first, last = (round(part * whole.windows) for part in _PARTS[split])
        if last - first <= self.rules.history:
            raise ConfigError(
                f"trace {path} has {whole.windows} windows, of which the split {split!r} gets {last - first}; "
                f"more than {self.rules.history} (rules.history) are needed"
            )
        part = replace(whole.between(first, last), name=name)
        if part.tokens is not None:
            return part
        rng = generator(SPLITS.index(split), 0, f"tokens of {name}")
        limit = min(self.config.group_limit, part.groups)
        try:
            tokens = sample_tokens(part.load, part.k, groups=part.groups, limit=limit, n=_SAMPLED, rng=rng)
        except ValueError as error:
            raise ConfigError(f"trace {path}: no tokens can be sampled with group_limit = {limit}: {error}") from error
        return replace(part, tokens=tokens)

    def _read(self, path: Path) -> Trace:
        if path.suffix == ".npz":
            return load_trace(path)
        if path.suffix != ".json":
            raise ConfigError(
                f"trace {path}: recorded traces end in .json, in EPLB's public format, or in .npz, as save_trace writes it"
            )
        config = self.config
        try:
            return read_eplb(path, config.eplb_window, k=config.eplb_k, groups=config.eplb_groups)
        except ConfigError as error:
            set_to = f"eplb_window = {config.eplb_window}, eplb_k = {config.eplb_k}, eplb_groups = {config.eplb_groups}"
            raise ConfigError(f"{error} (read with {set_to})") from error
