def plan(history, tokens, current, cluster):
    history[:] = 1
    return current
