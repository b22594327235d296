def schedule(experts):
    return {"k": 2 * experts}
