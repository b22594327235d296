"""Traces: how many tokens each expert got in each step of a training, for whoever places experts on devices.

A trace is a compressed ``.npz`` that numpy reads without pickles. Its arrays:

``load``
    ``(t, L, E)`` int32: tokens of step t whose router in layer L chose expert E. Only experts that compute are counted; an expert
    has no more than ``tokens_per_step``, and the sum over experts is k times that unless a method says otherwise (experts
    without computation, another k by step or layer).
``domain``
    ``(t, M)`` int16, only if it is known: the domain of each micro-batch of step t, by its place in ``domains``.
``meta``
    A JSON object as a 0-dimensional string: ``format`` (`FORMAT`), ``version`` (`VERSION`), ``size``, ``method``, ``seed``, ``k``,
    ``tokens_per_step``, and ``domains``, the list of their names.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evolve.errors import ConfigError
from evolve.evaluators.archived import MALFORMED, ArrayFormat

#: What ``meta`` calls the format.
FORMAT = "evolve-moe-trace"
VERSION = 1

_TEXTS = ("size", "method")
_NUMBERS = ("seed", "k", "tokens_per_step")
_FILE = ArrayFormat(
    FORMAT,
    VERSION,
    {**dict.fromkeys(_TEXTS, str), **dict.fromkeys(_NUMBERS, int)},
    required=("load",),
    optional=("domain",),
)


@dataclass(frozen=True, slots=True)
class Trace:
    """The loads of one training.

    Attributes:
        load: ``(t, L, E)`` int32, tokens of each step by layer and expert; t >= 1.
        size: Name of what was trained, such as ``nano``.
        method: Name of the method that balanced it.
        seed: Of the training.
        k: Experts that a token goes to, where the method does not say otherwise.
        tokens_per_step: T.
        domains: Names of the domains; empty where they are not known.
        domain: ``(t, M)`` int16, the domain of each micro-batch by its place in ``domains``; None where it is not known.

    Raises:
        ValueError: If an array has another type or shape than it should, or a number out of range.
    """

    load: np.ndarray
    size: str
    method: str
    seed: int
    k: int
    tokens_per_step: int
    domains: tuple[str, ...] = ()
    domain: np.ndarray | None = None

    def __post_init__(self) -> None:
        _check_load(self.load, self.tokens_per_step)
        if not 1 <= self.k <= self.load.shape[2]:
            raise ValueError(f"k must lie in [1, {self.load.shape[2]}], the number of experts; got {self.k}")
        if self.domain is not None:
            _check_domain(self.domain, len(self.load), len(self.domains))


def save_trace(path: Path, trace: Trace) -> None:
    """Writes a trace: the file is there whole or not at all, and a trace gives the same bytes every time.

    Args:
        path: File to write, by convention ``*.npz``; one that is there is replaced.
        trace: What to write.

    Raises:
        OSError: If the folder cannot be written to.
    """
    meta = {name: getattr(trace, name) for name in (*_TEXTS, *_NUMBERS)} | {"domains": list(trace.domains)}
    _FILE.write(path, {"load": trace.load, "domain": trace.domain}, meta)


def load_trace(path: Path) -> Trace:
    """Reads a trace.

    Raises:
        ConfigError: If there is no such file, or none that `save_trace` could have written; the message says why.
    """
    try:
        arrays, meta = _FILE.read(path)
        said = {name: meta[name] for name in (*_TEXTS, *_NUMBERS)}
        return Trace(arrays["load"], domain=arrays.get("domain"), domains=_domains(meta.get("domains")), **said)
    except OSError as error:
        raise ConfigError(f"trace {path} cannot be read: {error.strerror or error}") from error
    except MALFORMED as error:
        raise ConfigError(f"trace {path} is malformed: {error}; expected a file that `save_trace` wrote") from error


def _domains(names: object) -> tuple[str, ...]:
    if not (isinstance(names, list) and all(type(name) is str for name in names)):
        raise ValueError(f"domains in meta must be a list of names, got {names!r}")
    return tuple(names)


def _check_load(load: np.ndarray, tokens: int) -> None:
    if load.dtype != np.int32 or load.ndim != 3 or not load.size:
        raise ValueError(f"load must be int32 of shape (steps, layers, experts), got {load.dtype} of shape {load.shape}")
    low, high = int(load.min()), int(load.max())
    if low < 0 or high > tokens:
        raise ValueError(f"load must lie in [0, {tokens}], the tokens of a step; got {low} to {high}")


def _check_domain(domain: np.ndarray, steps: int, n_domains: int) -> None:
    if domain.dtype != np.int16 or domain.ndim != 2 or len(domain) != steps or not domain.size:
        raise ValueError(f"domain must be int16 of shape ({steps}, micro-batches), got {domain.dtype} of shape {domain.shape}")
    low, high = int(domain.min()), int(domain.max())
    if low < 0 or high >= n_domains:
        raise ValueError(f"domain must lie in [0, {n_domains}), the places of the domains' names; got {low} to {high}")
