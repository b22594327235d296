"""Writes numbers with as many digits as tell the programs apart, and not more."""

from __future__ import annotations

import math
from collections.abc import Iterable

from evolve.program import Direction

#: Digits that are shown anyhow; people and models read a score of six digits without trouble.
_USUAL = 6
#: Enough to tell any two doubles apart.
_ALL = 17
#: Integers below it are written in full.
_LONGEST_INTEGER = 1e15


class Precision:
    """How the numbers of one quantity are written in one prompt: different ones never alike."""

    def __init__(self, values: Iterable[float]) -> None:
        """Chooses the digits.

        Args:
            values: All values that the prompt shows of the quantity; finite.
        """
        self._digits = useful_digits(values)

    def __call__(self, value: float) -> str:
        """Writes one of the values."""
        return written(value, self._digits)


def useful_digits(values: Iterable[float]) -> int:
    """Returns how many significant digits tell values apart, with one more so that differences have a size.

    Args:
        values: Finite; equal ones count once.
    """
    different = set(values)

    def apart(digits: int) -> bool:
        return len({written(value, digits) for value in different}) == len(different)

    if apart(_USUAL):
        return _USUAL
    # Both are asked: values that are rounded apart may be rounded to the same with a digit more.
    return next((digits for digits in range(_USUAL + 2, _ALL) if apart(digits - 1) and apart(digits)), _ALL)


def written(value: float, digits: int) -> str:
    """Writes a number with at most so many significant digits, without zeros at the end; integers in full.

    Args:
        value: Finite.
        digits: From 1 to 17.
    """
    if not math.isfinite(value):
        raise ValueError(f"only finite numbers are shown, got {value!r}")
    if value == int(value) and abs(value) < _LONGEST_INTEGER:
        return str(int(value))
    text = f"{value:.{digits - 1}e}"
    mantissa, _, exponent = text.partition("e")
    power = int(exponent)
    if -5 <= power < 15:
        fixed = f"{float(text):.{max(0, digits - 1 - power)}f}"
        return fixed.rstrip("0").rstrip(".") if "." in fixed else fixed
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{power}"


def exact(value: float) -> str:
    """Writes a number with the fewest digits, correctly rounded, that read back as the same number."""
    return next(text for digits in range(1, _ALL + 1) if float(text := written(value, digits)) == value)


def compared(direction: Direction, value: float, other: float) -> str:
    """Says how a value stands to another one: ``"better by 0.0123 than"``, ``"worse by ... than"`` or ``"equal to"``."""
    gain = direction.oriented(value) - direction.oriented(other)
    if gain == 0:
        return "equal to"
    if math.isinf(gain):
        return "better than" if gain > 0 else "worse than"
    return f"{'better' if gain > 0 else 'worse'} by {written(abs(gain), 3)} than"
