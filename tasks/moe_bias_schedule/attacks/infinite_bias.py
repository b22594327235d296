def update(counts, bias, memory):
    return bias + float("inf") * (counts == counts.min()), memory
