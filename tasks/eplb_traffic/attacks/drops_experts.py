import numpy as np


def plan(history, tokens, current, cluster):
    busy = np.argsort(-history[-1], axis=1)[:, : cluster["experts"] // 32]
    return np.tile(busy, (1, cluster["slots"] // busy.shape[1]))
