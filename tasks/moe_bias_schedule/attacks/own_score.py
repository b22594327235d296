def score(logits, bias):
    gates = logits.softmax(-1)
    return gates + bias, gates


def update(counts, bias, memory):
    return bias + 0.01 * (counts.mean(-1, keepdim=True) - counts).sign(), memory
