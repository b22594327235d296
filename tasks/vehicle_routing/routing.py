"""Plans the tours of vehicles: routes are built by `savings`, then shortened by `improve`."""

import improve
import savings


def plan(places, demands, capacity):
    """Returns a list of tours, each a list of customers 1 .. n-1 in order; place 0 is the depot.

    Args:
        places: (n, 2) coordinates.
        demands: (n,) whole numbers, 0 for the depot.
        capacity: The most that one vehicle carries.
    """
    distances = savings.distances(places)
    tours = savings.build(distances, demands, capacity)
    # EVOLVE-BLOCK-START
    rounds = 1
    for _ in range(rounds):
        tours = [improve.two_opt(tour, distances) for tour in tours]
        tours = improve.relocate(tours, distances, demands, capacity)
    # EVOLVE-BLOCK-END
    return [tour for tour in tours if tour]
