"""What a hostile program is, and by what its success is noticed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from evolve.program import Isolation, Outcome

EVERY_LEVEL = frozenset(Isolation)
KERNEL_LEVELS = frozenset({Isolation.LANDLOCK, Isolation.STRONG})
STRONG_ONLY = frozenset({Isolation.STRONG})
#: How a program may end whose answer is a lie: refused, or scored for what it is.
REFUSED_OR_HONEST = frozenset({Outcome.OK, Outcome.INVALID, Outcome.CRASHED, Outcome.OUT_OF_MEMORY})

#: CPU seconds after which most hostile programs are over.
SHORT_S = 0.5
#: Enough to take some 100 MB where each page costs twenty times what it does elsewhere: there, 256 MB took more than 0.5 s.
PATIENT_S = 10.0


class Sign(StrEnum):
    """What shows, seen from outside, that an attack went through."""

    SCORE = "score"
    """A better objective than the honest one, another score of the next honest evaluation, or a failed evaluator."""
    REMAINS = "remains"
    """A process that outlives its evaluation, or an evaluation that outlives its deadline."""
    LEAK = "leak"
    """A secret of ours in what came out: of a file, of the environment, of another process."""
    CHANGE = "change"
    """A file of ours that was altered or taken away, or a new one outside the scratch folder."""
    CONTACT = "contact"
    """A listening socket of ours that heard something."""
    HARM = "harm"
    """A process of ours that was ended or stopped."""
    REPORT = "report"
    """The program's own word that it got what it asked for: there is nothing to see of it from outside."""
    OUTCOME = "outcome"
    """The evaluation did not end in one of the ways that it should."""


#: Signs that are a failure at every level, whatever is claimed of the program.
NEVER = frozenset({Sign.SCORE, Sign.REMAINS})


@dataclass(frozen=True, slots=True)
class Hostile:
    """A program that tries one thing that it must not do.

    Its source is run before the task's own initial program, in the same file. In it, ``@NAME@`` stands for a fact of the
    trial (see `evolve.testing.hostile.canaries.Canaries.facts`). It may define

    * ``attack()``, called before the honest source is loaded: what it returns is evidence that the attack went through and
      becomes the program's feedback; an exception, or nothing, means that it was stopped and honest work goes on;
    * ``lie(answer)``, which replaces each honest answer.

    Attributes:
        name: Short, unique.
        tries: What it tries, in one sentence.
        source: Python.
        claims: Levels that are said to stop it; at others what happens is reported only.
        sign: What mainly decides; all signs are looked for.
        ends: How its evaluation may end where it is stopped.
        least: The weakest level that it is run at: below, it would harm the machine.
        landlock: The version of Landlock that the claim for level ``landlock`` needs.
        times: Evaluations in a row, for programs that leave something for the next.
        slow: Whether it takes about as long as the limits allow.
        timeout_s: CPU seconds that it is given; more for a program that must meet another limit first, however slow the machine.
    """

    name: str
    tries: str
    source: str
    claims: frozenset[Isolation] = EVERY_LEVEL
    sign: Sign = Sign.SCORE
    ends: frozenset[Outcome] = frozenset({Outcome.OK})
    least: Isolation = Isolation.PROCESS
    landlock: int = 1
    times: int = 1
    slow: bool = False
    timeout_s: float = SHORT_S

    def claimed(self, level: Isolation, landlock_version: int) -> bool:
        """Tells whether a level is said to stop it on a machine with this version of Landlock."""
        return level in self.claims and (level is not Isolation.LANDLOCK or landlock_version >= self.landlock)
