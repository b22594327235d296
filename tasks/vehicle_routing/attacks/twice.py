def plan(places, demands, capacity):
    return [[1] for _ in range(1, len(demands))]
