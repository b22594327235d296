"""Published ways to share a dense network's hidden units out among experts; see `conversion` for what becomes of them.

All take ``(L, H)`` or ``(L, H, F)`` arrays and return ``(L, H)`` integers: 0 for the shared expert, 1 to n for a normal one. The
program and the baselines of the task ``moe_dense_conversion`` do the same in files that read alone, as programs must.
"""

from __future__ import annotations

import numpy as np

#: Rounds of k-means; on networks of this size units hardly move after the fifth.
ROUNDS = 10


def random_split(layers: int, shared: int, experts: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Shares units out by chance.

    Args:
        layers: L.
        shared: Units of the shared expert.
        experts: Normal experts (n).
        width: Units of each.
        rng: Chance.
    """
    row = np.repeat(np.arange(experts + 1), [shared, *[width] * experts])
    return np.stack([rng.permutation(row) for _ in range(layers)])


def taylor_split(importance: np.ndarray, shared: int, experts: int) -> np.ndarray:
    """Gives the most important units to the shared expert and deals the others out in turn, so that experts matter alike.

    Source: Dense2MoE (arXiv 2510.09094); that units are dealt like cards by rank is our reading of "evenly".

    Args:
        importance: ``(L, H)``; of equal units, the first counts as more important.
        shared: Units of the shared expert.
        experts: Normal experts (n), which have ``(H - shared) / n`` units each.
    """
    rank = (-importance).argsort(1, kind="stable").argsort(1)
    return np.where(rank < shared, 0, (rank - shared) % experts + 1)


def kmeans_split(features: np.ndarray, importance: np.ndarray, shared: int, experts: int) -> np.ndarray:
    """Gives the most important units to the shared expert and puts those of the others together that are alike.

    K-means with clusters of one size: in each round the closest pair of a unit without a place and a centre with room comes first.
    Units are compared by the cosine of their features. The first centre is the most important unit, each further one the unit
    farthest from the centres so far, so that nothing is left to chance.

    Source: clusters of equal size from the weights, Zhang et al. 2021, "MoEfication", arXiv 2110.01786; the beginning is
    Gonzalez's (1985, "Clustering to minimize the maximum intercluster distance").

    Args:
        features: ``(L, H, F)``: a unit's weights or its activations.
        importance: ``(L, H)``.
        shared: Units of the shared expert.
        experts: Normal experts (n), which have ``(H - shared) / n`` units each.
    """
    rank = (-importance).argsort(1, kind="stable")
    split = np.zeros(importance.shape, np.int64)
    for layer, units in enumerate(rank[:, shared:]):
        some = features[layer, units].astype(np.float64)
        split[layer, units] = _clusters(some / (np.linalg.norm(some, axis=1, keepdims=True) + 1e-12), experts) + 1
    return split


def _clusters(points: np.ndarray, count: int) -> np.ndarray:
    """Cluster of each point ``(N, F)``, from 0, N / count points each."""
    chosen = [0]
    while len(chosen) < count:
        distance = ((points[:, None] - points[chosen]) ** 2).sum(-1).min(1)
        chosen.append(int(distance.argmax()))
    centres = points[chosen]
    for _ in range(ROUNDS):
        places = _places(((points[:, None] - centres) ** 2).sum(-1))
        centres = np.stack([points[places == cluster].mean(0) for cluster in range(count)])
    return places


def _places(distance: np.ndarray) -> np.ndarray:
    """Cluster of each point by its distance ``(N, clusters)`` to the centres, with room for as many in each."""
    count, clusters = distance.shape
    room, places = [count // clusters] * clusters, np.full(count, -1)
    for pair in distance.ravel().argsort(kind="stable").tolist():
        point, cluster = divmod(pair, clusters)
        if places[point] < 0 and room[cluster]:
            places[point] = cluster
            room[cluster] -= 1
    return places
