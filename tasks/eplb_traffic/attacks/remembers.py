import numpy as np

CALLS = []


def plan(history, tokens, current, cluster):
    CALLS.append(1)
    return np.roll(current, len(CALLS), axis=1)
