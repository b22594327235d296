def pack(n):
    return [[0, 1]] * n, [10**400] * n
