"""Gives tokens their experts: k of them at a time, at most so many groups, as often as the loads say.

A token's experts are the k that come first where expert e comes after an exponential time of rate ``w_e`` (the Gumbel top-k of the
logits ``log w_e``). The rates that make expert e one of the k with probability p_e are close to ``-log(1 - p_e)``: that many
are expected before time 1, when k experts have come in the mean.

Sources: Kool, van Hoof & Welling 2019, "Stochastic Beams and Where to Find Them", arXiv 1903.06059 (Gumbel top-k); DeepSeek-V3,
arXiv 2412.19437, section 2.1.2 (the limit on groups).
"""

from __future__ import annotations

import numpy as np

#: The logits of an expert without load; a token chooses it where it has no other.
_NEVER = 1e-12
_ALWAYS = 1 - 1e-9


def logits_of(load: np.ndarray, k: int) -> np.ndarray:
    """Returns the logits ``(..., E)`` float32 under which a token chooses experts in proportion to their loads ``(..., E)``."""
    chosen = k * load / load.sum(-1, keepdims=True)
    result: np.ndarray = np.log(-np.log1p(-np.clip(chosen, _NEVER, _ALWAYS))).astype(np.float32)
    return result


def gumbel(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draws float32 noise of Gumbel's distribution."""
    # The smallest float of an exponential draw is 0, whose logarithm would be infinite.
    result: np.ndarray = -np.log(np.maximum(rng.standard_exponential(shape, dtype=np.float32), np.float32(1e-30)))
    return result


def choose(scores: np.ndarray, k: int, groups: int, limit: int) -> np.ndarray:
    """Gives each token the k experts with the highest scores, in the ``limit`` groups whose two best experts have the highest sum.

    Args:
        scores: ``(..., E)`` float32, of each expert for each token; changed in place.
        k: Experts of a token, at most those of ``limit`` groups.
        groups: Groups, in order and of one size.
        limit: Groups that a token's experts may lie in.

    Returns:
        ``(..., k)`` int16 in ascending order.
    """
    if limit < groups:
        members = scores.reshape(*scores.shape[:-1], groups, -1)
        best = np.partition(members, max(members.shape[-1] - 2, 0), axis=-1)[..., -2:].sum(-1)
        ranked = np.argpartition(best, groups - limit, axis=-1)[..., : groups - limit]
        shut = np.zeros(best.shape, np.float32)
        np.put_along_axis(shut, ranked, -np.inf, axis=-1)
        members += shut[..., None]
    experts = scores.shape[-1]
    chosen = np.argpartition(scores, experts - k, axis=-1)[..., experts - k :].astype(np.int16)
    chosen.sort(-1)  # the order of what is partitioned depends on the machine
    return chosen
