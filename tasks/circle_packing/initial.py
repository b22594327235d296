"""Packs circles into the unit square: two rings around one in the middle, and one more.

Outside the markers is geometry that may be used or left; the text between them is what may change.
"""

import numpy as np

MIDDLE = (0.5, 0.5)


def ring(count, radius, squareness, warp=0.0, phase=0.0):
    """Spreads points around the middle, on a circle (squareness 0), a square (1) or in between; warp parts the corners."""
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
    square = 0.5
    outer = ring(16, 0.42, square, 0.05)
    inner = ring(8, 0.22, square)
    spare = (0.25, 0.3)
    centers = np.concatenate([outer, inner, [MIDDLE, spare]])
    limits = [0.0375] * 25 + [0.02]
    return grow(centers[:n], limits)


# EVOLVE-BLOCK-END
