"""How even the GPUs of a layer can be at best: bounds below the load of the hottest one.

What a bound holds for is part of it. In all of them a layer has E experts of loads w, D GPUs, and R = D s slots, s on each GPU;
every expert lies in at least one slot, and may lie twice on a GPU.

================================  ==========================================================================
`mean_load` (B1)                  every placement, every split of an expert's tokens over its replicas
`hottest_replica` (B2)            the same: of c replicas that share w, one gets w / c or more
`lower_bound_any_routing`         the same, the best that is known here
`lower_bound`                     every placement whose replicas share evenly; at least as high as the former
`lower_bound_for_counts`          placements of the given numbers of replicas that share evenly, and no others:
                                  with other numbers a GPU may stay below it
================================  ==========================================================================

Divisions and sums are rounded as floats are: a bound may lie some 1e-15 of itself above the truth.
"""

from __future__ import annotations

import numpy as np


def mean_load(load: np.ndarray, gpus: int) -> np.ndarray:
    """Bounds by the mean (B1): some GPU has as much as all of them on average.

    Args:
        load: ``(..., E)`` load of each expert.
        gpus: D.

    Returns:
        ``(...)`` in the unit of the loads.
    """
    return np.asarray(np.asarray(load, dtype=np.float64).sum(-1) / gpus)


def replicate(load: np.ndarray, slots: int) -> np.ndarray:
    """Gives every expert a slot, and each further slot to the expert whose replicas are hottest; ties go to the lower number.

    No other numbers of replicas have a colder hottest replica. Those numbers are found by the replication of EPLB (DeepSeek, 2025),
    which is the method of Jefferson and D'Hondt of sharing out seats (Balinski & Young, Fair Representation, 1982).

    Args:
        load: ``(..., E)`` load of each expert, >= 0.
        slots: R.

    Returns:
        ``(..., E)`` int64 replicas, >= 1, with sum R.

    Raises:
        ValueError: If a load is negative or not finite, or there are fewer slots than experts.
    """
    rows, shape = _rows(load, 1, slots)
    counts = np.ones(rows.shape, np.int64)
    heat = rows.copy()
    every = np.arange(len(rows))
    for _ in range(slots - rows.shape[1]):
        hottest = heat.argmax(1)
        counts[every, hottest] += 1
        heat[every, hottest] = rows[every, hottest] / counts[every, hottest]
    return counts.reshape(*shape, -1)


def hottest_replica(load: np.ndarray, slots: int) -> np.ndarray:
    """Bounds by the hottest replica (B2): the least that it can have, over all numbers of replicas with sum R.

    Holds for any split as well: of c replicas that share w in whatever way, one gets w / c or more, and so does its GPU.

    Args:
        load: ``(..., E)`` load of each expert, >= 0.
        slots: R.

    Returns:
        ``(...)`` in the unit of the loads.

    Raises:
        ValueError: As `replicate`.
    """
    return np.asarray((np.asarray(load, dtype=np.float64) / replicate(load, slots)).max(-1))


def least_replicas(load: np.ndarray, slots: int) -> np.ndarray:
    """Finds, for each i, the least load that the i-th hottest replica can have, over all numbers of replicas with sum R.

    All are least on their own: no single choice of numbers need reach two of them. The first is `hottest_replica`.

    With K = R - E slots to spare, the i-th replica is colder than x if at least E - i + 1 experts are thinned out to replicas
    colder than x (spare slots that remain go to these), which takes floor(w / x) spare slots for one of load w. The cheapest to
    thin out are the coldest. So the answer is the largest x at which the E - i + 1 coldest experts want K + 1 or more: the
    (K + 1)-th largest of their w / 1, w / 2, w / 3, ... Beyond the E-th replica the coldest expert takes all spare slots.

    Args:
        load: ``(..., E)`` load of each expert, >= 0.
        slots: R.

    Returns:
        ``(..., R)`` in descending order.

    Raises:
        ValueError: As `replicate`.
    """
    rows, shape = _rows(load, 1, slots)
    return _least_replicas(_descending(rows), slots).reshape(*shape, slots)


def lower_bound(load: np.ndarray, gpus: int, slots: int) -> np.ndarray:
    """Bounds the hottest GPU of every placement whose replicas share their expert's load evenly.

    The larger of `mean_load` and the pigeonholes of `lower_bound_for_counts`, with `least_replicas` in place of replicas: whatever
    the numbers of replicas are, the i-th hottest is no colder than that.

    Args:
        load: ``(..., E)`` load of each expert, >= 0.
        gpus: D.
        slots: R, a multiple of D.

    Returns:
        ``(...)`` in the unit of the loads.

    Raises:
        ValueError: If a load is negative or not finite, there are fewer slots than experts, or D does not divide R.
    """
    rows, shape = _rows(load, gpus, slots)
    bound = np.maximum(mean_load(rows, gpus), hottest_replica(rows, slots))
    heat = _descending(rows)
    # Exact least replicas cost ten times the rest, and seldom matter beside the mean: only where an estimate from above says so.
    promising = _pigeonholes(_at_most(heat, slots), gpus) > bound
    if promising.any():
        bound[promising] = np.maximum(bound[promising], _pigeonholes(_least_replicas(heat[promising], slots), gpus))
    return np.asarray(bound.reshape(shape))


def lower_bound_for_counts(load: np.ndarray, counts: np.ndarray, gpus: int) -> np.ndarray:
    """Bounds the hottest GPU of placements with these numbers of replicas, which share evenly. With other numbers it does not hold.

    The larger of `mean_load` and the pigeonholes: of the j D + 1 hottest replicas some GPU holds j + 1, and its other s - j - 1
    slots have no less than the coldest replicas. j = 0 is the hottest replica with the s - 1 coldest, j = 1 the bound by pairs.

    Args:
        load: ``(..., E)`` load of each expert, >= 0.
        counts: ``(..., E)`` replicas of each expert, whole numbers >= 1, with one sum R everywhere.
        gpus: D, which divides R.

    Returns:
        ``(...)`` in the unit of the loads.

    Raises:
        ValueError: If a load is negative or not finite, a count is below 1, the sums of counts differ, or D does not divide them.
    """
    counts = np.asarray(counts)
    if counts.shape != np.shape(load) or not counts.size or counts.min() < 1:
        raise ValueError(f"counts must be >= 1 and of shape {np.shape(load)}, got shape {counts.shape}: {counts}")
    totals = np.unique(counts.sum(-1))
    if len(totals) != 1:
        raise ValueError(f"counts must have one sum in all layers, got {totals.tolist()}")
    slots = int(totals[0])
    rows, shape = _rows(load, gpus, slots)
    flat = counts.reshape(rows.shape)
    replicas = np.repeat((rows / flat).ravel(), flat.ravel()).reshape(len(rows), slots)
    return np.asarray(np.maximum(mean_load(rows, gpus), _pigeonholes(_descending(replicas), gpus)).reshape(shape))


def lower_bound_any_routing(load: np.ndarray, gpus: int, slots: int) -> np.ndarray:
    """Bounds the hottest GPU of every placement, however each expert's load is split over its replicas.

    The larger of `mean_load`, `hottest_replica`, and pigeonholes of experts that cannot be split: K = R - E spare slots give at
    most K experts a second replica, so the i-th hottest of the others is no colder than the (i + K)-th expert. Replicas of experts
    that have several lie in at most 2 K slots and may be left without work; all other slots have an expert to themselves.

    Args:
        load: ``(..., E)`` load of each expert, >= 0.
        gpus: D.
        slots: R, a multiple of D.

    Returns:
        ``(...)`` in the unit of the loads.

    Raises:
        ValueError: As `lower_bound`.
    """
    rows, shape = _rows(load, gpus, slots)
    spare = slots - rows.shape[1]
    alone = _descending(rows)[:, spare:]
    idle = np.zeros((len(rows), slots - alone.shape[1]))
    bound = np.maximum(mean_load(rows, gpus), hottest_replica(rows, slots))
    return np.asarray(np.maximum(bound, _pigeonholes(np.concatenate([alone, idle], 1), gpus)).reshape(shape))


def _least_replicas(heat: np.ndarray, slots: int) -> np.ndarray:
    """`least_replicas` of ``(rows, E)`` loads in descending order."""
    rows, experts = heat.shape
    wanted = slots - experts + 1
    if wanted == 1:
        return heat
    divisors = np.arange(1, wanted + 1)
    largest = np.zeros((rows, wanted))
    least = np.empty((rows, slots))
    for i in range(experts - 1, -1, -1):
        quotients = np.concatenate([largest, heat[:, i, None] / divisors], 1)
        largest = np.partition(quotients, wanted, axis=1)[:, wanted:]
        least[:, i] = largest[:, 0]
    least[:, experts:] = least[:, experts - 1, None]
    return least


def _at_most(heat: np.ndarray, slots: int) -> np.ndarray:
    """What `_least_replicas` cannot exceed, without a search: n experts of sum S want K + 1 slots only up to S / (K + 1)."""
    experts = heat.shape[1]
    sums = heat[:, ::-1].cumsum(1)[:, ::-1]
    # Cumulative sums are rounded, and what is estimated from above must not come out below.
    most = np.minimum(heat, sums * ((1 + 1e-12) / (slots - experts + 1)))
    return np.concatenate([most, np.repeat(most[:, -1:], slots - experts, 1)], 1)


def _pigeonholes(replicas: np.ndarray, gpus: int) -> np.ndarray:
    """The best pigeonhole of ``(rows, R)`` loads of replicas in descending order; see `lower_bound_for_counts`."""
    slots = replicas.shape[1]
    per_gpu = slots // gpus
    bound = np.zeros(len(replicas))
    for j in range(per_gpu):
        crowded = replicas[:, j * gpus - j : j * gpus + 1].sum(1)
        bound = np.maximum(bound, crowded + replicas[:, slots - (per_gpu - j - 1) :].sum(1))
    return bound


def _descending(rows: np.ndarray) -> np.ndarray:
    return np.sort(rows, 1)[:, ::-1]


def _rows(load: np.ndarray, gpus: int, slots: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """The loads as ``(rows, E)`` float64, and the shape of what is said of each row."""
    loads = np.asarray(load, dtype=np.float64)
    if loads.ndim < 1 or not loads.size:
        raise ValueError(f"load must have shape (..., experts) with at least one expert and one row, got {loads.shape}")
    if not np.isfinite(loads).all() or loads.min() < 0:
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(loads) | (loads < 0))[0])
        raise ValueError(f"loads must be finite and >= 0, got {loads[place]} at {place}")
    check_slots_fit(loads.shape[-1], gpus, slots)
    return loads.reshape(-1, loads.shape[-1]), loads.shape[:-1]


def check_slots_fit(experts: int, gpus: int, slots: int) -> None:
    """Checks that slots can be shared out over GPUs and hold all experts.

    Raises:
        ValueError: If not.
    """
    if gpus < 1 or slots % gpus:
        raise ValueError(f"slots must be a multiple of gpus, got {slots} slots for {gpus} GPUs")
    if slots < experts:
        raise ValueError(f"each of {experts} experts needs a slot, got {slots} slots")
