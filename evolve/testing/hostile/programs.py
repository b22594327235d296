"""All hostile programs, theme by theme."""

from __future__ import annotations

from evolve.testing.hostile.answers import ANSWERS
from evolve.testing.hostile.files import FILES
from evolve.testing.hostile.interpreter import INTERPRETER
from evolve.testing.hostile.kernel import KERNEL
from evolve.testing.hostile.network import NETWORK
from evolve.testing.hostile.processes import PROCESSES
from evolve.testing.hostile.record import Hostile
from evolve.testing.hostile.resources import RESOURCES

THEMES: dict[str, tuple[Hostile, ...]] = {
    "More than it may have": RESOURCES,
    "Answers that lie": ANSWERS,
    "Its interpreter, and the next evaluation": INTERPRETER,
    "Files": FILES,
    "Other processes": PROCESSES,
    "Network": NETWORK,
    "The kernel": KERNEL,
}
PROGRAMS: tuple[Hostile, ...] = tuple(program for programs in THEMES.values() for program in programs)
