"""The built-in bandits by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from evolve.bandits.asymmetric import Asymmetric
from evolve.bandits.base import Bandit
from evolve.bandits.config import BanditConfig
from evolve.bandits.exp3 import Exp3
from evolve.bandits.fading import FadingBandit
from evolve.bandits.fixed import Fixed
from evolve.bandits.thompson import ThompsonBeta, ThompsonGaussian
from evolve.bandits.ucb import DiscountedUcb, Ucb1

Factory = Callable[[Sequence[str], BanditConfig], Bandit]


def _ucb1(arms: Sequence[str], config: BanditConfig) -> Bandit:
    return Ucb1(arms, config.number("exploration"), prior_cost_usd=config.prior_cost_usd)


def _fixed(arms: Sequence[str], config: BanditConfig) -> Bandit:
    return Fixed(arms, config.weights, prior_cost_usd=config.prior_cost_usd)


def _discounted(kind: type[FadingBandit] | type[Exp3] | type[Asymmetric]) -> Factory:
    def make(arms: Sequence[str], config: BanditConfig) -> Bandit:
        return kind(arms, config.number("exploration"), config.number("discount"), prior_cost_usd=config.prior_cost_usd)

    return make


BANDITS: Mapping[str, Factory] = MappingProxyType(
    {
        "ucb1": _ucb1,
        "discounted-ucb": _discounted(DiscountedUcb),
        "thompson-beta": _discounted(ThompsonBeta),
        "thompson-gaussian": _discounted(ThompsonGaussian),
        "exp3": _discounted(Exp3),
        "asymmetric": _discounted(Asymmetric),
        "fixed": _fixed,
    }
)


def make_bandit(arms: Sequence[str], config: BanditConfig) -> Bandit:
    """Makes the bandit that a configuration names.

    Raises:
        ValueError: If ``arms`` is empty or names one twice, or weights name no arm.
    """
    return BANDITS[config.name](arms, config)
