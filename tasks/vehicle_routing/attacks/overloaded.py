def plan(places, demands, capacity):
    return [list(range(1, len(demands)))]
