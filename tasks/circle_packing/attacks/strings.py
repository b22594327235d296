def pack(n):
    return [[(i + 0.5) / n, 0.5] for i in range(n)], ["0.5"] * n
