"""Scores a packing by the sum of radii that is proven to fit; what the program says about its own sum is ignored."""

from evolve.evaluators.base import IsolatedProgram, Score
from evolve.evaluators.packing import check_packing, split_answer

CIRCLES = 26
BEST_KNOWN = 2.635983084917607783


def evaluate(program: IsolatedProgram) -> Score:
    answer = split_answer(program.call("pack", CIRCLES))
    report = check_packing(answer.centers, answer.radii, CIRCLES, BEST_KNOWN)
    return Score(report.sum_of_radii, report.metrics, report.text, figure=report.draw)
