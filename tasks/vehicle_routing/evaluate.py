"""Scores plans by the distance that vehicles drive, in whole numbers; who is served by whom is checked here."""

import numpy as np
from instances import Instance, instances

from evolve.evaluators import Invalid, IsolatedProgram, Metric, Score

SEED = 20_240_229


def evaluate(program: IsolatedProgram) -> Score:
    driven = {}
    for instance in instances(SEED):
        tours = program.call("plan", instance.places, instance.demands, instance.capacity)
        driven[instance.name] = distance(instance, checked(instance, tours))
    metrics = {name.replace(", ", "_"): Metric(value, "minimize") for name, value in driven.items()}
    return Score(sum(driven.values()), metrics, "driven: " + "; ".join(f"{name} {value}" for name, value in driven.items()))


def checked(instance: Instance, tours: object) -> list[list[int]]:
    """Returns the tours if every customer is served once and no vehicle is overloaded."""
    if not isinstance(tours, list) or not all(isinstance(tour, list) for tour in tours):
        raise Invalid("plan must return a list of lists of customers")
    stops = [stop for tour in tours for stop in tour]
    if not all(type(stop) is int for stop in stops):
        raise Invalid("customers are whole numbers")
    wanted = range(1, len(instance.demands))
    if sorted(stops) != list(wanted):
        raise Invalid(f"{instance.name}: customers 1 to {wanted[-1]} must be served once each, got {len(stops)} stops")
    for tour in tours:
        load = int(instance.demands[tour].sum()) if tour else 0
        if load > instance.capacity:
            raise Invalid(f"{instance.name}: the tour {tour} carries {load}, more than {instance.capacity}")
    return tours


def distance(instance: Instance, tours: list[list[int]]) -> int:
    """Returns the length of all tours, each step rounded to a whole number."""
    total = 0
    for tour in tours:
        stops = instance.places[[0, *tour, 0]]
        total += int(np.rint(np.hypot(*(stops[1:] - stops[:-1]).T)).sum())
    return total
