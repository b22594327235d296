"""What is checked of a program before its numbers count.

Routing that looks at other tokens is found by `router.Pass`, computation is counted by the trainer from the real choices, and
parameters, data and clock are out of a program's reach. What remains is that a program has to repeat.
"""

from __future__ import annotations

from evolve.evaluators.base import Invalid
from evolve.evaluators.moe.calling import Method
from evolve.evaluators.moe.spec import Size
from evolve.evaluators.moe.trainer import Training, train


def check_repeats(method: Method, size: Size, seed: int, witness: Method | None = None) -> Training:
    """Trains twice with one seed, in the same process, and compares to the bit.

    Args:
        method: A method whose hooks are to be functions of what they are given.
        size: A small one.
        seed: Of both.
        witness: See `trainer.train`.

    Returns:
        The first training.

    Raises:
        Invalid: If the second differs: the program keeps something between calls, or draws numbers of its own.
        ProgramFailed: If it fails.
    """
    first, second = train(method, size, seed, witness=witness), train(method, size, seed, guarded=False)
    for step, (one, other) in enumerate(zip(first.losses, second.losses, strict=False)):
        if one != other:
            raise Invalid(
                f"trained twice with the same seed, the losses differ from step {step} on ({one!r} and {other!r}): hooks may keep "
                "nothing between calls but what they return as bias and memory, and draw no numbers (ask for noise or uniform)"
            )
    if first.final.cross_entropy != second.final.cross_entropy:
        raise Invalid(
            "trained twice with the same seed, the model is the same and routes held-out text otherwise: hooks may keep nothing"
        )
    return first
