def loss(load, probability):
    return (load * probability).sum()


def update(counts, bias, memory):
    return bias + 0.01 * (counts.mean(-1, keepdim=True) - counts).sign(), memory
