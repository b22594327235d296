# EVOLVE-BLOCK-START
def where():
    return 1.0


# EVOLVE-BLOCK-END
