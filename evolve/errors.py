"""Everything `evolve` raises on purpose.

EvolveError
├── ConfigError          the user must change a setting, an option or a file
├── TaskError            a task or plug-in breaks its contract
├── IsolationError       the sandbox level asked for is not to be had on this machine
├── ExecutorError        the place where evaluations run failed; no program is to blame
├── ModelError           a language model could not answer
│   ├── BudgetExceeded
│   ├── Exhausted
│   └── PutOff
└── ArchiveError         the store is missing, locked, full, read-only or from a newer version
    ├── EmptyArchive     there is a file or a database, and nothing has been recorded in it
    └── RunNotFound      no run, program or step goes by that name, or several do

A program that fails is not an error: it is an `Evaluation` whose outcome says how. Messages name the value that was
found, what was expected, and what to do next. The command line prints them after ``error:`` and exits with 1, or 2 for
`ConfigError` (wrong usage).
"""

from __future__ import annotations


class EvolveError(Exception):
    """Base of every error a user of `evolve` is expected to see."""


class ConfigError(EvolveError):
    """The user must change a setting, an option or a file."""


class TaskError(EvolveError):
    """A task or a plug-in breaks its contract."""


class IsolationError(EvolveError):
    """The sandbox level asked for is not to be had on this machine."""


class ExecutorError(EvolveError):
    """The place where evaluations run failed; no program is to blame."""


class ModelError(EvolveError):
    """A language model could not answer."""


class BudgetExceeded(ModelError):
    """The next call could cost more than what is left of the budget."""


class Exhausted(ModelError):
    """One request was sent as often as allowed, and not answered."""


class PutOff(ModelError):
    """The model is down for now and was not asked; it may be later."""


class ArchiveError(EvolveError):
    """The store is missing, locked, full, read-only or from a newer version."""


class EmptyArchive(ArchiveError):
    """There is a file or a database, and nothing has been recorded in it."""


class RunNotFound(ArchiveError):
    """No run, program or step goes by that name, or several do."""


def nearest_hint(word: str, known: list[str]) -> str:
    """Ends a message about an unknown word: the nearest known one, or the list of all.

    Args:
        word: What the user wrote.
        known: What would have been accepted.
    """
    from difflib import get_close_matches  # 12 ms to import, and only needed on the way out

    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known: " + ", ".join(sorted(known)) if known else "none is known"
