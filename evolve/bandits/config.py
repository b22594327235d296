"""How a run's bandit is configured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from evolve.errors import nearest_hint

#: The numbers that each bandit takes, with what they are by default: tuned by `benchmarks/bandits.py` (docs/bandits.md).
NUMBERS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "ucb1": {"exploration": 0.05},
        "discounted-ucb": {"exploration": 0.1, "discount": 0.998},
        "thompson-beta": {"exploration": 0.05, "discount": 0.995},
        "thompson-gaussian": {"exploration": 0.03, "discount": 0.99},
        "exp3": {"exploration": 0.6, "discount": 1.0},
        "asymmetric": {"exploration": 0.1, "discount": 0.95},
        "fixed": {},
    }
)

#: Bandits that divide by their exploration, or by a chance that it keeps above 0.
_POSITIVE_EXPLORATION = ("thompson-beta", "exp3")


@dataclass(frozen=True, slots=True)
class BanditConfig:
    """How arms are chosen.

    A setting that the named bandit does not use is refused, so that none is set in vain.

    Attributes:
        name: Of the bandit: a key of `evolve.bandits.BANDITS`.
        exploration: How much it prefers what is little known (docs/bandits.md says what 1 means); None is the bandit's default.
        discount: What is left of a pull after each later one, in (0, 1]; 1 forgets nothing; None is the bandit's default.
        weights: Of ``fixed``: how often an arm is pulled against the others; 1 for arms left out.
        prior_cost_usd: What an arm never pulled is expected to cost; None takes the mean of the others'.
        reward_window: Improvements that a new one is ranked among.
    """

    name: str = "discounted-ucb"
    exploration: float | None = None
    discount: float | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    prior_cost_usd: float | None = None
    reward_window: int = 200

    def __post_init__(self) -> None:
        if self.name not in NUMBERS:
            raise ValueError(f"unknown bandit {self.name!r}; {nearest_hint(self.name, list(NUMBERS))}")
        self._refuse_unused()
        self._refuse_out_of_range()

    def number(self, setting: str) -> float:
        """Gives ``exploration`` or ``discount`` as the bandit uses it: as set, or its default.

        Raises:
            KeyError: If the bandit has no such number.
        """
        default = NUMBERS[self.name][setting]
        given = self._numbers()[setting]
        return default if given is None else given

    def _numbers(self) -> dict[str, float | None]:
        return {"exploration": self.exploration, "discount": self.discount}

    def _refuse_unused(self) -> None:
        for setting, value in self._numbers().items():
            if value is not None and setting not in NUMBERS[self.name]:
                users = ", ".join(name for name, numbers in NUMBERS.items() if setting in numbers)
                raise ValueError(f"bandit {self.name!r} does not use {setting}, got {value}; leave it out or choose one of {users}")
        if self.weights and self.name != "fixed":
            raise ValueError(f"bandit {self.name!r} does not use weights; leave them out or choose fixed")

    def _refuse_out_of_range(self) -> None:
        if self.exploration is not None and not 0 <= self.exploration < math.inf:
            raise ValueError(f"exploration must be >= 0, got {self.exploration}")
        if self.exploration == 0 and self.name in _POSITIVE_EXPLORATION:
            raise ValueError(f"exploration of bandit {self.name!r} must be > 0, got 0")
        if self.exploration is not None and self.exploration > 1 and self.name == "exp3":
            raise ValueError(f"exploration of bandit 'exp3' is a share of pulls in (0, 1], got {self.exploration}")
        if self.discount is not None and not 0 < self.discount <= 1:
            raise ValueError(f"discount must be in (0, 1], got {self.discount}")
        for arm, weight in self.weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"weights must be finite and >= 0, got {weight} for arm {arm!r}")
        if self.prior_cost_usd is not None and not 0 <= self.prior_cost_usd < math.inf:
            raise ValueError(f"prior_cost_usd must be finite and >= 0, got {self.prior_cost_usd}")
        if self.reward_window < 1:
            raise ValueError(f"reward_window must be >= 1, got {self.reward_window}")
