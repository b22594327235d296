"""Trainings that `moe.py` measures with, and a log of those that are finished, from which an interrupted command goes on."""

from __future__ import annotations

import ast
import hashlib
import json
import multiprocessing
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from evolve.evaluators.base import Invalid
from evolve.evaluators.moe.fitness import Summary
from evolve.evaluators.moe.methods import catalog
from evolve.evaluators.moe.spec import SIZES, Size

_LAB = "evolve.evaluators.moe."
_FOLDER = Path(catalog.__file__).parents[1]


class Trial(NamedTuple):
    """One training.

    Attributes:
        method: Name of a catalogued method.
        constants: Names and values in place of the method's own, by name.
        size: Name of a size.
        seed: Of weights, batches and noise.
        unequal: Whether experts are of unequal cost.
    """

    method: str
    constants: tuple[tuple[str, float], ...]
    size: str
    seed: int
    unequal: bool = False

    def __str__(self) -> str:
        return f"{label(self.method, self.constants)}, {self.size}{' unequal' if self.unequal else ''}, seed {self.seed}"


class Trained(NamedTuple):
    """What came of a training.

    Attributes:
        trial: Which.
        code: Hash of what it was trained with; see `code_of`.
        metrics: By name, as `report.metrics_of` has them; empty where it failed.
        failure: Why it has none.
    """

    trial: Trial
    code: str
    metrics: Mapping[str, float]
    failure: str = ""

    @property
    def summary(self) -> Summary:
        """What fitness asks for.

        Raises:
            KeyError: If it failed.
        """
        named = {"cross_entropy": "cross_entropy", "max_violation": "max_violation", "dead": "dead_experts"}
        named |= {"active": "active_flops", "l1": "l1_imbalance"}
        return Summary(**{field: self.metrics[name] for field, name in named.items()})

    def line(self) -> str:
        """Writes it down in a line."""
        return json.dumps([list(self.trial), *self[1:]])


def label(method: str, constants: Sequence[tuple[str, float]]) -> str:
    """Names a method with its constants, where they are not its own."""
    return method + "".join(f" {name}={value:.3g}" for name, value in constants)


def measure(trial: Trial) -> Trained:
    """Trains one model, in whichever process."""
    # torch takes a second to import, which commands that only read the log need not wait for
    from evolve.evaluators.moe.calling import LocalMethod
    from evolve.evaluators.moe.report import metrics_of
    from evolve.evaluators.moe.trainer import train

    code = code_of(trial.method)
    try:
        method = LocalMethod.load(catalog.path_of(trial.method), dict(trial.constants))
        return Trained(trial, code, metrics_of(train(method, size_of(trial), trial.seed)))
    except (Invalid, ValueError) as error:  # it diverged, or constants and sizes do not go together
        return Trained(trial, code, {}, str(error))


def size_of(trial: Trial) -> Size:
    """The size that a trial is trained at."""
    size = SIZES[trial.size]
    return replace(size, model=size.model.unequal()) if trial.unequal else size


def train_all(trials: Iterable[Trial], log: Path, workers: int) -> dict[Trial, Trained]:
    """Trains what the log does not have, as it comes, and writes every result down at once.

    Args:
        trials: In the order in which they are begun.
        log: File of finished trainings; made if it is not there.
        workers: Processes of one thread each.

    Returns:
        The trials asked for.
    """
    wanted = list(dict.fromkeys(trials))
    done = {item.trial: item for item in read(log) if item.code == code_of(item.trial.method)}
    missing = [trial for trial in wanted if trial not in done]
    _mend(log)
    # Forked, a child would inherit locks of torch's threads.
    context = multiprocessing.get_context("spawn")
    with log.open("a", encoding="utf-8") as file, ProcessPoolExecutor(workers, context, _end_with_parent) as pool:
        for number, future in enumerate(as_completed([pool.submit(measure, trial) for trial in missing]), 1):
            item = future.result()
            done[item.trial] = item
            file.write(item.line() + "\n")
            file.flush()
            print(f"{number}/{len(missing)} {item.trial}: {_outcome(item)}", file=sys.stderr)
    return {trial: done[trial] for trial in wanted}


def _end_with_parent() -> None:
    """Ends this process when the one that started it is killed, which the pool's own processes would outlive."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def read(log: Path) -> Iterator[Trained]:
    """Reads what earlier commands wrote down; of a line that was not finished, nothing."""
    if not log.exists():
        return
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            (method, constants, *rest), *others = json.loads(line)
        except ValueError:  # killed while writing
            continue
        yield Trained(Trial(method, tuple((name, value) for name, value in constants), *rest), *others)


def _mend(log: Path) -> None:
    """Ends a line that was not finished, so that the next one begins by itself."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and (text := log.read_bytes()) and not text.endswith(b"\n"):
        log.write_bytes(text + b"\n")


def _outcome(item: Trained) -> str:
    if item.failure:
        return item.failure
    found = item.metrics
    return f"CE {found['cross_entropy']:.4f}, MaxVio {found['max_violation']:.2f}, {found['training_cpu_s']:.1f} CPU s"


@cache
def code_of(method: str) -> str:
    """Hashes what a training of a method follows from: the lab's modules that take part, the corpus, and the method itself.

    What comments and docstrings say does not matter.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(_reached(_LAB + "report") | {catalog.path_of(method)}):
        digest.update(f"{path.name}\n{bare(path.read_text(encoding='utf-8'))}\n".encode())
    digest.update((_FOLDER / "corpus" / "pack.xz").read_bytes())
    return digest.hexdigest()


def bare(source: str) -> str:
    """Program text without comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [one for one in body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
    return ast.dump(tree)


@cache
def _reached(module: str) -> frozenset[Path]:
    """Files of the lab that a module of it is made of, directly or not."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = _path_of(waiting.pop())
        if path is None or path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return frozenset(found)


def _path_of(module: str) -> Path | None:
    """Where a module of the lab lies, if there is one of that name."""
    if not module.startswith(_LAB):
        return None
    path = _FOLDER.joinpath(*module.removeprefix(_LAB).split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)
