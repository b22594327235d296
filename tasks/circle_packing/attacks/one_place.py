def pack(n):
    return [[0.5, 0.5]] * n, [0.5] * n
