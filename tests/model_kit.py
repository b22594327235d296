"""Scripted models for tests of whole runs: they improve the parabola task's number, step by step."""

from __future__ import annotations

import re
from collections.abc import Callable

from evolve.testing.model_server import Answer, Asked

CANARY = "sk-canary-0123456789-never-to-be-seen"
_NUMBER = re.compile(r"return (-?[\d.]+(?:e-?\d+)?)")


def parent_number(asked: Asked) -> float:
    """The number that the program to change returns, as the last prompt shows it."""
    users = [message.text for message in asked.messages if message.role == "user"]
    return float(_NUMBER.findall(users[0].partition("# The program to change")[2])[0])


def source(number: float) -> str:
    """A program that returns a number."""
    return f"# EVOLVE-BLOCK-START\ndef where():\n    return {number!r}\n\n\n# EVOLVE-BLOCK-END\n"


def rewrite(number: float) -> str:
    """A reply that is a whole program."""
    return f"I move the number closer.\n\n```python\n{source(number)}```\n"


def diff(old: float, new: float) -> str:
    """A reply that replaces the number's line."""
    return f"I move the number closer.\n\n<<<<<<< SEARCH\n    return {old!r}\n=======\n    return {new!r}\n>>>>>>> REPLACE\n"


def improver(asked: Asked) -> Answer:
    """Halves the distance to 3, a little differently at each call, in the form that was asked for."""
    old = parent_number(asked)
    new = old + (3.0 - old) * (0.5 + 0.01 * (asked.number % 7))
    wants_diff = "<<<<<<< SEARCH" in asked.messages[0].text + asked.messages[-1].text
    return Answer(diff(old, new) if wants_diff else rewrite(new))


def sometimes(fault: Answer, every: int, then: Callable[[Asked], Answer] = improver) -> Callable[[Asked], Answer]:
    """A script that answers every so-many-th call with a fault."""
    return lambda asked: fault if asked.number % every == every - 1 else then(asked)
