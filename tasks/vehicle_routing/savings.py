"""Builds tours by merging: every customer begins with a vehicle of its own, and the merger that saves most comes first.

Clarke & Wright 1964; the weights of distance and asymmetry are those of Yellow 1970 and Paessens 1988, the one of demand that of
Altinel & Oncan 2005.
"""

import numpy as np


def distances(places):
    """Returns the (n, n) distances, rounded to whole numbers as in the TSPLIB."""
    offsets = places[:, None] - places[None]
    return np.rint(np.hypot(offsets[..., 0], offsets[..., 1]))


# EVOLVE-BLOCK-START
def saving(distances, demands, i, j):
    """What it is worth to serve j right after i."""
    nearness = 0.4
    asymmetry = 0.6
    demand = 0.0
    mean = demands[1:].mean()
    value = distances[0, i] + distances[0, j] - nearness * distances[i, j]
    value = value + asymmetry * abs(distances[0, i] - distances[0, j])
    return value + demand * (demands[i] + demands[j]) / mean


# EVOLVE-BLOCK-END


def build(distances, demands, capacity):
    """Returns tours whose loads are within the capacity."""
    n = len(demands)
    pairs = [(-saving(distances, demands, i, j), i, j) for i in range(1, n) for j in range(i + 1, n)]
    tour_of = {i: [i] for i in range(1, n)}
    for _, i, j in sorted(pairs):
        one, other = tour_of[i], tour_of[j]
        if one is other or demands[one].sum() + demands[other].sum() > capacity:
            continue
        if one[0] == i:
            one.reverse()
        if other[-1] == j:
            other.reverse()
        if one[-1] != i or other[0] != j:
            continue
        one.extend(other)
        for customer in other:
            tour_of[customer] = one
    return list({id(tour): tour for tour in tour_of.values()}.values())
