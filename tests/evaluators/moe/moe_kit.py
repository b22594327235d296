"""Small trainings, and methods written in a test."""

import dataclasses
import types

from torch_kit import one_thread  # noqa: F401 - a fixture, for tests to import

from evolve.evaluators.moe.calling import LocalMethod
from evolve.evaluators.moe.methods import catalog
from evolve.evaluators.moe.spec import SIZES, ModelConfig, Size, TrainingConfig

#: Two layers of four experts, 64 tokens per step: a step takes some milliseconds.
TINY = Size(
    "tiny",
    ModelConfig(width=16, layers=2, heads=2, experts=4, active=2, expert_width=8, length=16),
    TrainingConfig(steps=3, micro_batches=2, sequences=2, held_out=1),
)
SMOKE = SIZES["smoke"]


def lasting(size: Size, steps: int, **training: object) -> Size:
    """The same size, trained for so many steps."""
    return dataclasses.replace(size, training=dataclasses.replace(size.training, steps=steps, **training))


def written(source: str, **names: object) -> LocalMethod:
    """A method of this text in this process; ``names`` are there when it runs."""
    module = types.ModuleType("written")
    vars(module).update(names)
    source = f"import torch\n{source}"
    exec(compile(source, "written.py", "exec"), vars(module))
    return LocalMethod(module, source)


def catalogued(name: str) -> LocalMethod:
    """One of the package's methods, in this process."""
    return written(catalog.source_of(name))
