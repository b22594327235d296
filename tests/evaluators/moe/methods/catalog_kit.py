"""What the interface lets the hooks of catalogued methods ask for; without torch."""

from evolve.evaluators.moe.methods.catalog import METHODS
from evolve.evaluators.moe.vocabulary import HOOKS

#: What each hook may ask for.
VOCABULARY = {hook: set(found.inputs) for hook, found in HOOKS.items()}

PRESENT = list(METHODS)
