"""Traces: how often each expert was chosen in each window of time, and which experts single tokens went to.

A trace is kept as a compressed ``.npz`` that numpy reads without pickles. Its arrays:

``load``
    ``(t, L, E)`` int64: choices of each expert, by window and layer.
``tokens``
    ``(t, L, n, k)`` int16, only where single tokens are known: the experts of n tokens of each window.
``meta``
    A JSON object as a 0-dimensional string: ``format`` (`FORMAT`), ``version`` (`VERSION`), ``name``, ``k``, ``groups`` and
    ``steps_per_window``.

Recorded loads come from trainings of the MoE lab (`from_moe`) or from a server (`read_eplb`), others from
`evolve.evaluators.placement.generating`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from evolve.errors import ConfigError
from evolve.evaluators.archived import MALFORMED, ArrayFormat
from evolve.evaluators.moe.trace import Trace as MoeTrace
from evolve.evaluators.placement.recorded import step_loads
from evolve.evaluators.placement.sampling import choose, gumbel, logits_of

#: What ``meta`` calls the format.
FORMAT = "evolve-placement-trace"
VERSION = 1

_NUMBERS = ("k", "groups", "steps_per_window")
_FILE = ArrayFormat(FORMAT, VERSION, {"name": str, **dict.fromkeys(_NUMBERS, int)}, required=("load",), optional=("tokens",))


@dataclass(frozen=True, slots=True)
class Trace:
    """Loads of the experts of a model, window by window.

    Tokens per step are ``load.sum(-1) / (k * steps_per_window)``.

    Attributes:
        load: ``(t, L, E)`` int64 >= 0: how often each expert was chosen in a window; every layer of every window has some.
        steps_per_window: Steps of the model that a window sums up.
        k: Experts that a token goes to.
        groups: Groups of experts, in order and of one size, that routing is limited by (G); 1 where it is not.
        tokens: ``(t, L, n, k)`` int16: the experts of n tokens of each window, none twice for one token; None where only loads
            are known.
        name: What it is, for people.

    Raises:
        ValueError: If an array has another type or shape than it should, or a number is out of range; the message says where.
    """

    load: np.ndarray
    steps_per_window: int
    k: int
    groups: int = 1
    tokens: np.ndarray | None = None
    name: str = ""

    def __post_init__(self) -> None:
        _check_load(self.load)
        if self.steps_per_window < 1:
            raise ValueError(f"steps_per_window must be >= 1, got {self.steps_per_window}")
        if not 1 <= self.k <= self.experts:
            raise ValueError(f"k must lie in [1, {self.experts}], the number of experts; got {self.k}")
        if self.groups < 1 or self.experts % self.groups:
            raise ValueError(f"groups must divide the {self.experts} experts; got {self.groups}")
        _check_sums(self.load, self.k)
        if self.tokens is not None:
            _check_tokens(self.tokens, self.load.shape, self.k)

    @property
    def windows(self) -> int:
        """Windows (t)."""
        return int(self.load.shape[0])

    @property
    def layers(self) -> int:
        """Layers (L)."""
        return int(self.load.shape[1])

    @property
    def experts(self) -> int:
        """Experts of a layer (E)."""
        return int(self.load.shape[2])

    def between(self, first: int, last: int) -> Trace:
        """Returns the windows from ``first`` up to, not including, ``last``; the arrays are views.

        Raises:
            ValueError: If there are no such windows.
        """
        if not 0 <= first < last <= self.windows:
            raise ValueError(f"windows must satisfy 0 <= first < last <= {self.windows}; got first {first} and last {last}")
        tokens = None if self.tokens is None else self.tokens[first:last]
        return replace(self, load=self.load[first:last], tokens=tokens)


def save_trace(path: Path, trace: Trace) -> None:
    """Writes a trace: the file is there whole or not at all, and a trace gives the same bytes every time.

    Args:
        path: File to write, by convention ``*.npz``; one that is there is replaced.
        trace: What to write.

    Raises:
        OSError: If the folder cannot be written to.
    """
    meta = {"name": trace.name} | {name: getattr(trace, name) for name in _NUMBERS}
    _FILE.write(path, {"load": trace.load, "tokens": trace.tokens}, meta)


def load_trace(path: Path) -> Trace:
    """Reads a trace.

    Raises:
        ConfigError: If there is no such file, or none that `save_trace` could have written; the message says why.
    """
    try:
        arrays, meta = _FILE.read(path)
        return Trace(arrays["load"], tokens=arrays.get("tokens"), name=meta["name"], **{name: meta[name] for name in _NUMBERS})
    except OSError as error:
        raise ConfigError(f"trace {path} cannot be read: {error.strerror or error}") from error
    except MALFORMED as error:
        raise ConfigError(f"trace {path} is malformed: {error}; expected a file that `save_trace` wrote") from error


def read_eplb(path: Path, window: int = 100, *, k: int = 8, groups: int = 8) -> Trace:
    """Makes a trace of recorded loads in the JSON of the ADRS study; `recorded` says what it looks like and what memory it takes.

    Steps that fill no window, at the end, are left out (the study's own evaluator makes a shorter window of them). The file does
    not say how tokens are routed: ``k`` and ``groups`` are DeepSeek-V3's, whose loads the published one has.

    Args:
        path: The JSON.
        window: Steps that a window sums up.
        k: Experts that a token goes to.
        groups: Groups of experts.

    Raises:
        ConfigError: If the file cannot be read or is malformed, or has fewer steps than a window; the message says what and where.
    """
    try:
        loads = step_loads(path)
        return Trace(summed(loads, window), window, k, groups, name=path.name)
    except OSError as error:
        raise ConfigError(f"loads {path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"loads {path} make no trace: {error}") from error


def from_moe(trace: MoeTrace, window: int) -> Trace:
    """Makes a trace of the loads of a training.

    Steps that fill no window, at the end, are left out. Single tokens are not recorded there, and routing has no groups.

    Args:
        trace: Loads of each step of a training.
        window: Steps that a window sums up.

    Raises:
        ConfigError: If there are fewer steps than a window has, or no expert of some layer was chosen in a whole window.
    """
    name = f"{trace.size}, {trace.method}, seed {trace.seed}"
    try:
        return Trace(summed(trace.load, window), window, trace.k, name=name)
    except ValueError as error:
        raise ConfigError(f"the training ({name}) gives no trace of windows of {window} steps: {error}") from error


def summed(steps: Sequence[np.ndarray] | np.ndarray, window: int) -> np.ndarray:
    """Sums the loads ``(L, E)`` of steps over windows: ``(t, L, E)`` int64, without the steps at the end that fill none.

    Raises:
        ValueError: If ``window`` is below 1 or above the number of steps.
    """
    if not 1 <= window <= len(steps):
        raise ValueError(f"a window must have 1 to {len(steps)} steps, as many as there are; got {window}")
    starts = range(0, len(steps) - window + 1, window)
    return np.stack([np.sum(steps[start : start + window], axis=0, dtype=np.int64) for start in starts])


def sample_tokens(load: np.ndarray, k: int, *, groups: int, limit: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Gives single tokens experts, for a trace that has only loads; `sampling` says how.

    Experts are chosen about as often as the loads say, but for what the limit on groups takes from the less used groups; loads say
    nothing of which experts are chosen together. The noise is drawn once for all windows, so that they differ by their loads alone.

    Args:
        load: ``(t, L, E)``, as in a trace.
        k: Experts of a token.
        groups: Groups of experts, which divide E.
        limit: Groups that a token's experts may lie in.
        n: Tokens of each window.
        rng: Chance.

    Returns:
        ``(t, L, n, k)`` int16, ascending along k.

    Raises:
        ValueError: If ``limit`` groups have fewer than k experts, or there are not that many.
    """
    experts = load.shape[-1]
    if groups < 1 or experts % groups or not 1 <= limit <= groups or not 1 <= k <= limit * (experts // groups) or n < 1:
        raise ValueError(
            f"expected groups that divide {experts} experts, 1 <= limit <= groups with at least k experts in them, and n >= 1; "
            f"got k {k}, groups {groups}, limit {limit}, n {n}"
        )
    noise = gumbel((load.shape[1], n, experts), rng)
    return np.stack([choose(logits_of(one, k)[:, None] + noise, k, groups, limit) for one in load])


def _check_load(load: np.ndarray) -> None:
    if load.dtype != np.int64 or load.ndim != 3 or not load.size:
        raise ValueError(f"load must be int64 of shape (windows, layers, experts), got {load.dtype} of shape {load.shape}")
    if load.min() < 0:
        window, layer, expert = np.argwhere(load < 0)[0].tolist()
        raise ValueError(
            f"load must be >= 0; window {window}, layer {layer}, expert {expert} (counted from 0) has {load[window, layer, expert]}"
        )
    empty = ~load.any(-1)
    if empty.any():
        window, layer = np.argwhere(empty)[0].tolist()
        raise ValueError(
            f"every layer must have some load in every window; window {window}, layer {layer} (counted from 0) has none"
        )


def _check_sums(load: np.ndarray, k: int) -> None:
    """Refuses loads whose sum over a layer, times k, is no int64: it would come out as anything."""
    most = np.iinfo(np.int64).max // (load.shape[-1] * k)
    if load.max() > most:
        window, layer, expert = np.argwhere(load > most)[0].tolist()
        raise ValueError(
            f"load must be <= {most}, so that sums of {load.shape[-1]} experts times k = {k} can be counted; window {window}, "
            f"layer {layer}, expert {expert} (counted from 0) has {load[window, layer, expert]}"
        )


def _check_tokens(tokens: np.ndarray, shape: tuple[int, ...], k: int) -> None:
    windows, layers, experts = shape
    right = tokens.ndim == 4 and tokens.shape[:2] == (windows, layers) and tokens.shape[3] == k and tokens.size
    if tokens.dtype != np.int16 or not right:
        raise ValueError(
            f"tokens must be int16 of shape ({windows}, {layers}, tokens, {k}), got {tokens.dtype} of shape {tokens.shape}"
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= experts:
        raise ValueError(f"tokens must lie in [0, {experts}), the experts; got {low} to {high}")
    ordered = np.sort(tokens, -1)
    twice = (ordered[..., 1:] == ordered[..., :-1]).any(-1)
    if twice.any():
        window, layer, token = np.argwhere(twice)[0].tolist()
        raise ValueError(
            f"a token goes to an expert once; token {token} of window {window}, layer {layer} has {tokens[window, layer, token]}"
        )
