"""Trains a mixture of many experts, one per token, and weighs what it predicts against how even the load is."""

from pathlib import Path

from evolve.evaluators import IsolatedProgram, Score
from evolve.evaluators.moe.lab import Lab, LabConfig

LAB = Lab(LabConfig.read(Path(__file__).with_name("lab.toml")), hooks=("init", "schedule", "score", "loss", "update"))


def smoke(program: IsolatedProgram) -> None:
    LAB.smoke(program)


def evaluate(program: IsolatedProgram) -> Score:
    return LAB.evaluate(program)


def paired(program: IsolatedProgram, seed: int) -> Score:
    return LAB.paired(program, seed)


def holdout(program: IsolatedProgram) -> Score:
    return LAB.holdout(program)
