"""How a run gets on: whether it still finds better programs, and when to ask for another approach.

Only ranks and steps count, never scores, so that nothing here depends on the unit of the objective.
"""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass

#: Gaps between improvements that the usual one is taken from: the latest, since they widen as a run goes on.
_GAPS = 8
#: Steps without anything better that are nothing unusual, whatever a run's gaps have been.
_PATIENCE = 40


@dataclass(frozen=True, slots=True)
class StagnationConfig:
    """What happens while a run finds nothing better.

    Attributes:
        after: Finished steps without a new best program after which another approach is asked for, or as many as improvements
            usually come apart, if that is more; 0 never asks.
        every: Steps between two that ask for it.
        protect: Finished steps of its island for which what comes of it is kept and chosen as a parent, however it scores; only
            by strategies that heed it (`evolve.strategies`), the others protect nothing.
        arm: Beginning of the name of the arms that are asked; empty asks the model of the highest price.
    """

    after: int = 0
    every: int = 20
    protect: int = 10
    arm: str = ""

    def __post_init__(self) -> None:
        for name in ("after", "protect"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)}")
        if self.every < 1:
            raise ValueError(f"every must be >= 1, got {self.every}")
        if not self.after and (set_in_vain := self._changed()):
            raise ValueError(f"{set_in_vain}, but after is 0, so that no new approach is asked for; say when: after = 40")

    def _changed(self) -> str:
        """Names a setting that is not as it is by default; one that turns something off is as good as unset."""
        for name, unset in (("every", (20,)), ("protect", (0, 10)), ("arm", ("",))):
            if getattr(self, name) not in unset:
                return f"{name} is {getattr(self, name)!r}"
        return ""


class Progress:
    """Counts the steps since the last new best program: a fold over a run's additions and plans."""

    def __init__(self, config: StagnationConfig = StagnationConfig()) -> None:
        self._config = config
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self._asked = 0
        self.since_best = 0

    @property
    def exploration(self) -> float:
        """How much there is to be said for something else, in [0, 1).

        It is 0 after an improvement and rises with every step without one, also while none ever comes again: to 1/2 when the
        steps are as many as lie between improvements usually (the median of the latest gaps), and at least ``after``, or 40.
        """
        usual = statistics.median(self._gaps) if self._gaps else 0
        return self.since_best / (self.since_best + max(self._config.after or _PATIENCE, usual))

    def settle(self, *, improved: bool) -> None:
        """Takes note of a finished step; the initial program is none.

        Args:
            improved: Whether its program became the best.
        """
        self.since_best += 1
        if improved:
            self._gaps.append(self.since_best)
            self.since_best = 0

    def wants_new_approach(self, step: int) -> bool:
        """Says whether a step that is planned now is to take another approach than its parent's."""
        config = self._config
        # The first comparison costs nothing, and is all there is to it while a run gets on.
        if not config.after or self.since_best < config.after or self.exploration < 0.5:
            return False
        return not self._asked or step - self._asked >= config.every

    def asked(self, step: int) -> None:
        """Takes note of a plan to take another approach."""
        self._asked = max(self._asked, step)
