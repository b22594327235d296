import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.evaluators.placement.gaps import split_gap


def test_a_gap_worked_by_hand():
    # Two windows of two layers; bounds of 10 and 20 in all.
    gaps = split_gap(np.array([[6, 8], [12, 12]]), np.array([[5, 6], [13, 11]]), np.array([[5, 5], [10, 10]]))
    assert gaps.forecast.tolist() == [[1, 2], [-1, 1]]
    assert gaps.packing.tolist() == [[0, 1], [3, 1]]
    assert gaps.total.tolist() == [[1, 3], [2, 2]]
    assert gaps.overall() == pytest.approx((8 / 30, 3 / 30, 5 / 30))
    np.testing.assert_allclose(gaps.by_window(), [[3 / 10, 0], [1 / 10, 4 / 20]])
    np.testing.assert_allclose(gaps.by_layer(), [[0, 3 / 15], [3 / 15, 2 / 15]])


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 6))
def test_the_parts_add_up_to_the_whole(seed, windows, layers):
    rng = np.random.default_rng(seed)
    bound = rng.lognormal(8, 1, (windows, layers))
    hottest, oracle = bound * (1 + rng.exponential(0.3, (2, windows, layers)))
    gaps = split_gap(hottest, oracle, bound)
    np.testing.assert_allclose(gaps.total, hottest - bound, rtol=1e-9, atol=1e-9)
    total, forecast, packing = gaps.overall()
    assert total == forecast + packing
    assert total == pytest.approx(hottest.sum() / bound.sum() - 1)
    weights = bound.sum(1) / bound.sum()
    np.testing.assert_allclose(gaps.by_window() @ weights, (forecast, packing), atol=1e-12)
    weights = bound.sum(0) / bound.sum()
    np.testing.assert_allclose(gaps.by_layer() @ weights, (forecast, packing), atol=1e-12)


def test_a_policy_that_knows_the_loads_has_no_forecast_part():
    hottest, bound = np.array([[6.0, 7.0]]), np.array([[5.0, 5.0]])
    assert split_gap(hottest, hottest, bound).overall() == pytest.approx((0.3, 0, 0.3))


def test_a_bound_that_is_rounded_up_is_no_mistake():
    bound = np.array([[1 / 3]])
    assert split_gap(bound * (1 - 1e-15), bound, bound).overall() == pytest.approx((0, 0, 0), abs=1e-12)


def test_windows_without_load_have_no_gap():
    assert split_gap(*np.zeros((3, 2, 2))).overall() == (0, 0, 0)


@pytest.mark.parametrize(
    ("hottest", "oracle", "bound", "message"),
    [
        ([[4, 6]], [[5, 6]], [[5, 5]], "hottest of window 0, layer 0 is 4.0, below the bound 5.0"),
        ([[6, 6]], [[5, 4]], [[5, 5]], "oracle of window 0, layer 1 is 4.0, below the bound 5.0: take the bound of any routing"),
        ([[6, 6]], [[5, 5], [5, 5]], [[5, 5]], "one shape"),
        ([6, 6], [5, 5], [5, 5], r"\(windows, layers\)"),
        ([[6, np.nan]], [[5, 5]], [[5, 5]], "hottest must be finite"),
        ([[6, 6]], [[5, 5]], [[5, -5]], "bound must be finite and >= 0, got -5.0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(hottest, oracle, bound, message):
    with pytest.raises(ValueError, match=message):
        split_gap(np.array(hottest), np.array(oracle), np.array(bound))
