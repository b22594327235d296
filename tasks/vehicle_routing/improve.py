"""Shortens tours without changing what they are: by turning a part of one around, and by moving customers between them."""

import numpy as np


def length(tour, distances):
    """Returns the length of one tour, from the depot and back to it."""
    stops = [0, *tour, 0]
    return distances[stops[:-1], stops[1:]].sum()


# EVOLVE-BLOCK-START
def two_opt(tour, distances):
    """Turns parts of a tour around while that shortens it (Croes 1958)."""
    reach = 3
    for i in range(len(tour)):
        for j in range(i + 1, min(len(tour), i + reach)):
            turned = tour[:i] + tour[i : j + 1][::-1] + tour[j + 1 :]
            if length(turned, distances) < length(tour, distances):
                tour = turned
    return tour


def relocate(tours, distances, demands, capacity):
    """Moves single customers to where they cost least, when that saves more than a share of the tour's mean step."""
    share = 1.5
    near = 2
    step = np.median(distances[0])
    for source in tours:
        for customer in list(source):
            without = [other for other in source if other != customer]
            gain = length(source, distances) - length(without, distances)
            best, place = gain - share * step, None
            for target in sorted(tours, key=lambda tour: min((distances[customer, c] for c in tour if c != customer), default=1e9))[
                :near
            ]:
                if target is source or demands[target].sum() + demands[customer] > capacity:
                    continue
                for at in range(len(target) + 1):
                    cost = length([*target[:at], customer, *target[at:]], distances) - length(target, distances)
                    if cost < best:
                        best, place = cost, (target, at)
            if place is not None:
                source.remove(customer)
                place[0].insert(place[1], customer)
    return tours


# EVOLVE-BLOCK-END
