"""Which arm to pull next, and what a pull was worth."""

from __future__ import annotations

from evolve.bandits.asymmetric import Asymmetric
from evolve.bandits.base import Bandit, Situation
from evolve.bandits.config import BanditConfig
from evolve.bandits.cost import Mixture, best_mixture, within_budget
from evolve.bandits.exp3 import Exp3
from evolve.bandits.fixed import Fixed
from evolve.bandits.registry import BANDITS, make_bandit
from evolve.bandits.reward import PercentileReward
from evolve.bandits.thompson import ThompsonBeta, ThompsonGaussian
from evolve.bandits.ucb import DiscountedUcb, Ucb1, ucb1_scores

__all__ = [
    "BANDITS",
    "Asymmetric",
    "Bandit",
    "BanditConfig",
    "DiscountedUcb",
    "Exp3",
    "Fixed",
    "Mixture",
    "PercentileReward",
    "Situation",
    "ThompsonBeta",
    "ThompsonGaussian",
    "Ucb1",
    "best_mixture",
    "make_bandit",
    "ucb1_scores",
    "within_budget",
]
