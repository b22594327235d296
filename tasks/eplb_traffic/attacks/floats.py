import numpy as np


def plan(history, tokens, current, cluster):
    return np.asarray(current, dtype=float)
