import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.program import Direction
from evolve.prompts.precision import Precision, compared, exact, useful_digits, written

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([2.6310, 2.6349], ["2.631", "2.6349"]),
        ([2.63598308, 2.63598309], ["2.63598308", "2.63598309"]),
        ([1e9, 1e9 + 1e-3], ["1000000000", "1000000000.001"]),
        ([0.1 + 0.2], ["0.3"]),
        ([207630.0, 207631.0], ["207630", "207631"]),
        ([-0.0, 0.0], ["0", "0"]),
        ([-1.25e-7, 3e22], ["-1.25e-7", "3e22"]),
        ([0.00012345678], ["0.000123457"]),
    ],
)
def test_values_are_written_with_the_digits_that_tell_them_apart(values, texts):
    number = Precision(values)
    assert [number(value) for value in values] == texts


@given(st.lists(FINITE, min_size=1, max_size=6))
def test_different_values_never_print_alike_and_every_text_is_a_number(values):
    number = Precision(values)
    assert len({number(value) for value in values}) == len(set(values))
    for value in values:
        assert math.isclose(float(number(value)), value, rel_tol=1e-5, abs_tol=5e-324)


@given(FINITE, st.integers(-50, 50))
def test_neighbours_at_any_magnitude_print_differently(value, steps):
    other = value
    for _ in range(abs(steps)):
        other = math.nextafter(other, math.inf if steps > 0 else -math.inf)
    if math.isfinite(other):
        number = Precision([value, other])
        assert (number(value) == number(other)) == (value == other)


@pytest.mark.parametrize("digits", range(8, 16))
def test_one_digit_more_than_needed_is_shown_and_no_noise(digits):
    values = [1.0, 1.0 + 10.0 ** -(digits - 1) * 1.234567]
    assert useful_digits(values) == digits + 1
    assert useful_digits([1 / 3, 2 / 3]) == 6


def test_values_that_a_further_digit_rounds_alike_are_told_apart():
    number = Precision([1.4575224373922652e25, 1.457522437392265e25])
    assert number(1.4575224373922652e25) != number(1.457522437392265e25)


@given(FINITE)
def test_exact_reads_back_and_is_at_most_one_digit_longer_than_the_shortest_repr(value):
    def digits(text: str) -> int:
        return len(text.lower().split("e")[0].lstrip("-").replace(".", "").strip("0"))

    assert float(exact(value)) == value
    assert digits(exact(value)) <= digits(repr(value)) + 1  # a tie may be rounded to the neighbour's side


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises(ValueError, match="finite"):
        written(value, 6)


@pytest.mark.parametrize(
    ("direction", "value", "other", "text"),
    [
        (Direction.MAXIMIZE, 2.5, 2.4, "better by 0.1 than"),
        (Direction.MINIMIZE, 2.5, 2.4, "worse by 0.1 than"),
        (Direction.MINIMIZE, -3.0, -2.0, "better by 1 than"),
        (Direction.MAXIMIZE, -3.0, -2.0, "worse by 1 than"),
        (Direction.MAXIMIZE, 1e9 + 1e-3, 1e9, "better by 0.001 than"),
        (Direction.MINIMIZE, 1.0, 1.0, "equal to"),
        (Direction.MAXIMIZE, 1.7e308, -1.7e308, "better than"),
    ],
)
def test_comparisons_know_the_direction(direction, value, other, text):
    assert compared(direction, value, other) == text
