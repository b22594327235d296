import pytest

from evolve.evaluators.sandbox.gpus import memory_fraction
from evolve.program import Limits


@pytest.mark.parametrize(
    ("gpus", "preload", "expected"),
    [
        (0.25, ("numpy", "torch"), 0.25),
        (1.0, ("torch",), None),
        (2.0, ("torch",), None),
        (0.0, ("torch",), None),
        (0.25, ("numpy",), None),
    ],
)
def test_torch_keeps_to_the_part_of_an_accelerator_that_a_task_asks_for(gpus, preload, expected):
    assert memory_fraction(Limits(gpus=gpus, preload=preload)) == expected
