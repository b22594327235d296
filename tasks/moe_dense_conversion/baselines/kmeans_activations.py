"""Puts hidden units that answer alike into one expert; the most important go to the shared one."""

import numpy as np

ROUNDS = 10


def assign(importance, activations, weights, shared, experts):
    assignment = np.zeros(importance.shape, dtype=np.int64)
    for layer in range(len(importance)):
        units = np.argsort(-importance[layer], kind="stable")[shared:]
        some = activations[layer, :, units].astype(np.float64)
        some /= np.linalg.norm(some, axis=1, keepdims=True) + 1e-12
        assignment[layer, units] = clusters(some, experts) + 1
    return assignment


def clusters(points, count):
    """K-means with clusters of one size; each centre begins as far from the others as can be."""
    chosen = [0]
    while len(chosen) < count:
        chosen.append(int(distances(points, points[chosen]).min(1).argmax()))
    centres = points[chosen]
    for _ in range(ROUNDS):
        places = placed(distances(points, centres))
        centres = np.stack([points[places == cluster].mean(0) for cluster in range(count)])
    return places


def distances(points, centres):
    return ((points[:, None] - centres) ** 2).sum(-1)


def placed(distance):
    """Puts the closest pair of a unit without a place and a centre with room together, again and again."""
    count, number = distance.shape
    room, places = [count // number] * number, np.full(count, -1)
    for pair in distance.ravel().argsort(kind="stable").tolist():
        point, cluster = divmod(pair, number)
        if places[point] < 0 and room[cluster]:
            places[point] = cluster
            room[cluster] -= 1
    return places
