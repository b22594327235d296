"""Trains a small mixture of experts whose biases the program moves, and weighs what it predicts against how even the load is."""

from pathlib import Path

from evolve.evaluators import IsolatedProgram, Score
from evolve.evaluators.moe.lab import Lab, LabConfig

LAB = Lab(LabConfig.read(Path(__file__).with_name("lab.toml")), hooks=("update",), fixed=("score",))


def smoke(program: IsolatedProgram) -> None:
    LAB.smoke(program)


def evaluate(program: IsolatedProgram) -> Score:
    return LAB.evaluate(program)


def paired(program: IsolatedProgram, seed: int) -> Score:
    return LAB.paired(program, seed)


def holdout(program: IsolatedProgram) -> Score:
    return LAB.holdout(program)
