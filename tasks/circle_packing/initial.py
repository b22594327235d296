"""Packs circles into the unit square: two rings around one in the middle, and one more.

Outside the markers is geometry that may be used or left; the text between them is what may change.
"""

import numpy as np


def ring(count, radius, squareness, phase, warp):
    """Spreads points around the middle of the square, on a circle (squareness 0), a square (1) or in between."""
    angles = phase + 2 * np.pi * np.arange(count) / count
    angles = angles + warp * np.sin(4 * angles)
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    longest = np.abs(points).max(axis=1, keepdims=True)
    return 0.5 + radius * points * (1 - squareness + squareness / longest)


def grow(centers, limits):
    """Gives each circle half the way to its nearest neighbour, then, in turn, what is left; never more than its limit."""
    centers = np.clip(centers, 0, 1)
    walls = np.minimum(centers, 1 - centers).min(axis=1)
    most = np.clip(np.minimum(walls, limits), 0, 1)
    distances = np.hypot(*(centers[:, None] - centers).T)
    np.fill_diagonal(distances, np.inf)
    radii = np.minimum(most, distances.min(axis=1) / 2)
    for i in range(len(radii)):
        radii[i] = max(radii[i], min(most[i], (distances[i] - radii).min()))
    return centers, radii


# EVOLVE-BLOCK-START
def pack(n):
    """Returns centres (n, 2) and radii (n,)."""
    square = 0.4
    outer = ring(16, 0.42, square, 0.02, 0.03)
    inner = ring(8, 0.23, square, 0.05, 0.01)
    middle = [0.5, 0.5]
    spare = [0.25, 0.3]
    centers = np.concatenate([outer, inner, [middle, spare]])
    limits = [0.0375] * 25 + [0.02]
    return grow(centers[:n], limits)


# EVOLVE-BLOCK-END
