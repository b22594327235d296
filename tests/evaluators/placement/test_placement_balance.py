import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.evaluators.placement.balance import Balance, balance, balancedness


def test_balancedness_sums_over_layers_before_it_divides():
    # Means 2 and 10, largest 3 and 12: 12 / 15, and not the mean of 2 / 3 and 10 / 12.
    assert balancedness(np.array([[1, 2, 3], [8, 10, 12]])) == 12 / 15


def test_a_layer_without_load_does_not_count():
    assert balancedness(np.array([[0, 0], [1, 3]])) == 2 / 3


def test_no_load_at_all_has_no_balance():
    with pytest.raises(ValueError, match="above 0"):
        balancedness(np.zeros((2, 3)))


def test_balance_of_gpus_and_of_slots():
    # GPUs get 4 and 8: mean 6, largest 8; slots have mean 3 and largest 5.
    assert balance(np.array([[1.0, 3, 5, 3]]), 2) == Balance(6 / 8, 3 / 5, pytest.approx(8 / 6 - 1))


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
@settings(deadline=None)  # a shared machine may stall
def test_balance_lies_between_one_and_one_in_all(seed, layers, gpus, slots):
    loads = np.random.default_rng(seed).lognormal(0, 2, (layers, gpus * slots))
    found = balance(loads, gpus)
    assert 1 / gpus * (1 - 1e-12) <= found.gpu <= 1 + 1e-12
    assert found.expert <= found.gpu * (1 + 1e-12)
    assert found.max_vio >= -1e-12
