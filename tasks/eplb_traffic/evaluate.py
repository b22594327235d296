"""Replays traces of expert loads under the program's placements, and charges what steps and the copying of experts take."""

from pathlib import Path

from evolve.evaluators import IsolatedProgram, Score
from evolve.evaluators.placement.problem import ProblemConfig
from evolve.evaluators.placement.scoring import StepLatency

FOLDER = Path(__file__).parent
LATENCY = StepLatency(ProblemConfig.read(FOLDER / "placement.toml"), FOLDER)


def smoke(program: IsolatedProgram) -> None:
    LATENCY.smoke(program)


def evaluate(program: IsolatedProgram) -> Score:
    return LATENCY.evaluate(program)


def paired(program: IsolatedProgram, seed: int) -> Score:
    return LATENCY.paired(program, seed)


def holdout(program: IsolatedProgram) -> Score:
    return LATENCY.holdout(program)
