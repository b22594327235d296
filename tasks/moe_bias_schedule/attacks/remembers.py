CALLS = []


def update(counts, bias, memory):
    CALLS.append(1)
    return bias + 0.01 / len(CALLS) * (counts.mean(-1, keepdim=True) - counts).sign(), memory
