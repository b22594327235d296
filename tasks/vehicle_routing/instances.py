"""Customers to be served, made up as those of the X set of benchmarks are (Uchoa et al. 2017), only fewer of them."""

from typing import NamedTuple

import numpy as np


class Instance(NamedTuple):
    """Places (n, 2), demands (n,) with 0 for the depot, and what one vehicle carries."""

    name: str
    places: np.ndarray
    demands: np.ndarray
    capacity: int


def instances(seed):
    """Makes four instances: customers spread evenly or in clusters, depot in the middle or in a corner."""
    rng = np.random.default_rng(seed)
    made = []
    for clustered in (False, True):
        for depot in ("middle", "corner"):
            n = 50
            places = _clusters(rng, n) if clustered else rng.integers(0, 1001, (n, 2))
            places[0] = 500 if depot == "middle" else 0
            demands = rng.integers(1, 51, n)
            demands[0] = 0
            # About seven customers to a vehicle.
            capacity = int(np.ceil(7 * demands.sum() / (n - 1)))
            made.append(Instance(f"{'clusters' if clustered else 'even'}, {depot}", places.astype(float), demands, capacity))
    return made


def _clusters(rng, n):
    middles = rng.integers(100, 901, (5, 2))
    places = middles[rng.integers(0, 5, n)] + rng.normal(0, 70, (n, 2))
    return np.clip(np.rint(places), 0, 1000).astype(int)
