"""Answers as the published balancers do: from one array of loads to three maps between experts and slots."""

from collections.abc import Callable, Mapping

import numpy as np

place: Callable[[np.ndarray, np.ndarray | None, np.ndarray | None, Mapping[str, int]], np.ndarray]


def rebalance_experts(
    weight: np.ndarray, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places the experts for a load.

    Args:
        weight: (L, E), the load of each expert.
        num_replicas: Slots of all GPUs, R.
        num_groups: Groups of experts.
        num_nodes: Nodes.
        num_gpus: GPUs of all nodes.

    Returns:
        ``phy2log`` (L, R) int64, the expert in each slot; ``log2phy`` (L, E, X) int64, the slots of each expert in
        rising order, filled up with -1 where it has fewer than X, the most of any; ``logcnt`` (L, E) int64, how many it has.
    """
    weight = np.asarray(weight, dtype=np.float64)
    layers, experts = weight.shape
    cluster = {"nodes": num_nodes, "gpus": num_gpus, "slots": num_replicas, "groups": num_groups, "experts": experts}
    phy2log = place(weight, None, None, cluster)
    row = np.arange(layers)[:, None]
    logcnt = np.zeros((layers, experts), dtype=np.int64)
    np.add.at(logcnt, (row, phy2log), 1)
    # Sorted by expert, the slots of each one follow each other; its first lies after those of all experts before it.
    order = np.argsort(phy2log, axis=1, kind="stable")
    sorted_experts = np.take_along_axis(phy2log, order, axis=1)
    first = np.cumsum(logcnt, axis=1) - logcnt
    rank = np.arange(num_replicas) - np.take_along_axis(first, sorted_experts, axis=1)
    log2phy = np.full((layers, experts, int(logcnt.max())), -1, dtype=np.int64)
    log2phy[row, sorted_experts, rank] = order
    return phy2log, log2phy, logcnt
