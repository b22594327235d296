"""Randomness: one named generator for every (run seed, step, purpose).

Nothing in `evolve` draws from a global generator. Whoever needs chance is handed a generator that depends on what it is
for and on nothing else, so the order in which concurrent work finishes cannot change a draw.
"""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, step: int, purpose: str) -> np.random.Generator:
    """Makes the generator for one purpose in one step of a run.

    Args:
        seed: The run's seed, >= 0.
        step: The step it is drawn for; 0 is the initial program.
        purpose: What the draws decide, such as ``"plan"`` or ``"generate/2"``.

    Raises:
        ValueError: If ``seed`` or ``step`` is negative.
    """
    if seed < 0 or step < 0:
        raise ValueError(f"seed and step must be >= 0, got seed {seed} and step {step}")
    # crc32 rather than hash(): the latter differs between processes.
    return np.random.default_rng(np.random.SeedSequence((seed, step, zlib.crc32(purpose.encode()))))


def derived_seed(seed: int, step: int, purpose: str) -> int:
    """Derives a 31-bit seed to hand to something that takes a number, such as a sandboxed program."""
    return int(generator(seed, step, purpose).integers(2**31))
