"""Every placement of a tiny layer: what bounds are held against."""

from functools import cache
from itertools import combinations, combinations_with_replacement

import numpy as np
from hypothesis import strategies as st

#: Experts, GPUs, slots per GPU: small enough to go through all placements (a few hundred each; the last has 3060).
SIZES = [
    *(
        (1, 1, 2),
        (1, 2, 1),
        (2, 1, 3),
        (2, 2, 2),
        (3, 2, 2),
        (4, 2, 2),
        (3, 3, 1),
        (4, 3, 2),
        (6, 3, 2),
        (5, 2, 3),
        (6, 2, 3),
        (4, 2, 3),
    ),
    *((5, 4, 2), (3, 2, 4), (4, 4, 1), (3, 2, 3), (3, 5, 1), (2, 2, 3)),
]


@cache
def every_placement(experts, gpus, per_gpu):
    """All placements up to the names of GPUs as ``(P, D, E)``, how often each expert lies on each GPU."""
    fillings = np.array(
        [np.bincount(slots, minlength=experts) for slots in combinations_with_replacement(range(experts), per_gpu)], dtype=np.int64
    )
    chosen = np.array(list(combinations_with_replacement(range(len(fillings)), gpus)))
    placements = fillings[chosen]
    return placements[(placements.sum(1) > 0).all(1)]


def hottest_even(load, placements):
    """``(P,)`` load of the hottest GPU of each placement whose replicas share evenly."""
    return (placements * (np.asarray(load) / placements.sum(1, keepdims=True))).sum(2).max(1)


def hottest_routed(load, placements):
    """``(P,)`` least load of the hottest GPU under any routing.

    By the theorem of Hall (or of the maximum flow): the largest mean over a set of GPUs of the loads of experts that lie nowhere
    else.
    """
    gpus = placements.shape[1]
    best = np.zeros(len(placements))
    for size in range(1, gpus + 1):
        for group in combinations(range(gpus), size):
            elsewhere = np.delete(placements, group, axis=1).sum(1) > 0
            best = np.maximum(best, (~elsewhere * np.asarray(load)).sum(1) / size)
    return best


def slots_of(placement):
    """``(D, E)`` numbers of replicas as ``(R,)`` experts of slots."""
    return np.concatenate([np.repeat(np.arange(placement.shape[1]), row) for row in placement])


@st.composite
def layers(draw):
    """A size of `SIZES` and loads for it, from even to a single hot expert."""
    experts, gpus, per_gpu = draw(st.sampled_from(SIZES))
    few = st.sampled_from([0, 1, 2, 3, 5, 8, 13, 30, 100, 1000])
    load = draw(st.lists(st.one_of(few, st.integers(0, 100)), min_size=experts, max_size=experts))
    return np.array(load), gpus, per_gpu
