CALLS = []


def loss(load, probability):
    CALLS.append(1)
    return load.shape[-1] * (load * probability).sum(-1).mean() * (1.0 + 0.1 * len(CALLS))
