"""Scores placements of experts, and the time that they take to compute, as the ADRS leaderboard does; proves them first."""

from pathlib import Path

from evolve.evaluators import IsolatedProgram, Score
from evolve.evaluators.placement.adrs import AdrsLeaderboard
from evolve.evaluators.placement.problem import ProblemConfig

FOLDER = Path(__file__).parent
BOARD = AdrsLeaderboard(ProblemConfig.read(FOLDER / "placement.toml"), FOLDER)


def smoke(program: IsolatedProgram) -> None:
    BOARD.smoke(program)


def evaluate(program: IsolatedProgram) -> Score:
    return BOARD.evaluate(program)


def paired(program: IsolatedProgram, seed: int) -> Score:
    return BOARD.paired(program, seed)


def holdout(program: IsolatedProgram) -> Score:
    return BOARD.holdout(program)
