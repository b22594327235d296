"""Which catalogued methods are there, and what the interface lets their hooks ask for; without torch."""

from evolve.evaluators.moe.methods.catalog import METHODS, source_of

#: What each hook may ask for.
VOCABULARY = {
    "init": {"experts", "k", "layers"},
    "cost": {"widths"},
    "schedule": {"step", "steps", "layers", "experts", "k"},
    "score": {"logits", "bias", "memory", "noise", "layer", "step", "training"},
    "select": {"selection", "bias", "memory", "uniform", "k", "widths", "layer", "step", "training"},
    "gate": {"gates", "mask", "bias", "memory", "k", "widths", "layer", "step", "training"},
    "loss": {
        *("logits", "probability", "micro_probability", "sequence_probability"),
        *("load", "micro_load", "running_load", "sequence_load"),
        *("mask", "bias", "memory", "widths", "k", "step", "steps"),
    },
    "update": {
        *("counts", "load", "probability", "scores", "mask", "contribution", "bias", "memory", "widths", "k", "step", "steps"),
    },
}


def is_present(name):
    try:
        source_of(name)
    except FileNotFoundError:
        return False
    return True


PRESENT = [name for name in METHODS if is_present(name)]
