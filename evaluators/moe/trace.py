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

import json
import os
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evolve.errors import ConfigError

#: What ``meta`` calls the format.
FORMAT = "evolve-moe-trace"
VERSION = 1

_TEXTS = ("size", "method")
_NUMBERS = ("seed", "k", "tokens_per_step")


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
    meta = {"format": FORMAT, "version": VERSION}
    meta |= {name: getattr(trace, name) for name in (*_TEXTS, *_NUMBERS)}
    arrays = {"load": trace.load, "meta": np.array(json.dumps({**meta, "domains": list(trace.domains)}))}
    if trace.domain is not None:
        arrays["domain"] = trace.domain
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            # allow_pickle is not named: numpy below 2.2 has no such argument here, and plain numbers need none.
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_trace(path: Path) -> Trace:
    """Reads a trace.

    Raises:
        ConfigError: If there is no such file, or none that `save_trace` could have written; the message says why.
    """
    try:
        load, domain, meta = _read(path)
        _check_meta(meta)
        said = {name: meta[name] for name in (*_TEXTS, *_NUMBERS)}
        return Trace(load, domain=domain, domains=tuple(meta["domains"]), **said)
    except OSError as error:
        raise ConfigError(f"trace {path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise ConfigError(f"trace {path} is malformed: {error}; expected a file that `save_trace` wrote") from error


def _read(path: Path) -> tuple[np.ndarray, np.ndarray | None, Any]:  # Any: JSON of unknown origin
    with path.open("rb") as stream:  # numpy closes no file that it takes for an archive and cannot read
        file = np.load(stream, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array and no names")
        with file:
            return _arrays(file)


def _arrays(file: np.lib.npyio.NpzFile) -> tuple[np.ndarray, np.ndarray | None, Any]:  # Any: JSON of unknown origin
    if missing := {"load", "meta"} - set(file.files):
        raise ValueError(f"there is no array {' and no '.join(sorted(missing))}")
    meta = file["meta"]
    if meta.dtype.kind != "U" or meta.shape:
        raise ValueError(f"meta must be a 0-dimensional string, got {meta.dtype} of shape {meta.shape}")
    return file["load"], file["domain"] if "domain" in file.files else None, json.loads(str(meta))


def _check_meta(meta: Any) -> None:  # Any: JSON of unknown origin
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise ValueError(f"meta must be a JSON object whose format is {FORMAT!r}")
    if meta.get("version") != VERSION:
        raise ValueError(f"it is of version {meta.get('version')!r} and this is read: {VERSION}")
    for name, kind in (*((name, str) for name in _TEXTS), *((name, int) for name in _NUMBERS)):
        if type(meta.get(name)) is not kind:
            raise ValueError(f"{name} in meta must be of type {kind.__name__}, got {meta.get(name)!r}")
    domains = meta.get("domains")
    if not (isinstance(domains, list) and all(type(name) is str for name in domains)):
        raise ValueError(f"domains in meta must be a list of names, got {domains!r}")


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
