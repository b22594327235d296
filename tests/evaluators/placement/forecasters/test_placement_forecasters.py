import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as stnp

from evolve.evaluators.placement.catalog import FORECASTERS, source


def names_in(forecaster):
    names = {}
    exec(compile(source("none", forecaster), forecaster, "exec"), names)
    return names


PROGRAMS = {name: names_in(name) for name in FORECASTERS}


def forecast(name, history):
    history = np.array(history, dtype=np.int64)
    history.setflags(write=False)
    return PROGRAMS[name]["forecast"](history)


@pytest.mark.parametrize("name", FORECASTERS)
@given(history=stnp.arrays(np.int64, stnp.array_shapes(min_dims=3, max_dims=3, max_side=7), elements=st.integers(0, 10**7)))
def test_a_forecast_is_a_load_for_every_expert(name, history):
    load = forecast(name, history)
    assert load.shape == history.shape[1:]
    assert load.dtype == np.float64
    assert np.isfinite(load).all()
    assert (load >= 0).all()


@pytest.mark.parametrize("name", FORECASTERS)
@pytest.mark.parametrize("windows", [1, 3, 9])
def test_a_load_that_never_changes_is_expected_to_stay(name, windows):
    load = [[5, 0, 3], [10, 20, 30]]
    assert forecast(name, [load] * windows) == pytest.approx(np.array(load), abs=1e-9)


def test_the_newest_window_is_the_last():
    assert forecast("last_window", [[[1, 2]], [[3, 4]]]).tolist() == [[3, 4]]


def test_a_moving_average_weighs_by_age():
    """Factors of one half and a quarter, divided by their sum."""
    assert forecast("ema", [[[1, 5]], [[4, 2]]]) == pytest.approx(np.array([[3, 3]]))


def test_with_few_windows_the_autoregression_is_the_last_one():
    history = np.random.default_rng(0).integers(1, 99, (3, 2, 8))
    assert (forecast("ar1", history) == history[-1]).all()


def autoregressive(phi, windows, experts=4000, spread=0.3):
    """Loads whose logarithms wander about means of their own, (W, 1, E), and the deviations of the window after."""
    rng = np.random.default_rng(1)
    means = rng.normal(10, 1, experts)
    apart = [rng.normal(0, spread, experts)]
    for _ in range(windows):
        apart.append(phi * apart[-1] + rng.normal(0, spread * np.sqrt(1 - phi**2), experts))
    logs = np.array(apart) + means
    return np.exp(logs[:-1]).astype(np.int64)[:, None], logs[-1]


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_persistence_is_estimated_without_the_bias_of_short_series(phi):
    """Twelve windows: the plain estimate falls short by about (1 + 3 phi) / 12, here .08 to .31.

    Four thousand series of eleven pairs leave a standard error near sqrt(1 / 44000) = .005; Kendall's correction is of first
    order, and what it leaves of higher orders is largest near one.
    """
    history, _ = autoregressive(phi, windows=12)
    logs = np.log(history + 0.5)
    logs -= logs.mean(axis=2, keepdims=True)
    estimate = PROGRAMS["ar1"]["_persistence"](logs - logs.mean(axis=0))
    assert estimate == pytest.approx(phi, abs=0.1)


def test_the_autoregression_beats_the_last_window_where_loads_return_to_their_means():
    history, after = autoregressive(0.5, windows=12)
    errors = {}
    for name in FORECASTERS:
        load = np.log(forecast(name, history)[0])
        errors[name] = np.std(load - after)
    assert errors["ar1"] < errors["ema"] < errors["last_window"]


def test_an_autoregression_keeps_the_sum_of_the_last_window():
    history, _ = autoregressive(0.5, windows=6)
    assert forecast("ar1", history).sum() == pytest.approx(history[-1].sum())
