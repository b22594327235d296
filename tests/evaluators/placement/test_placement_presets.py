import itertools

import numpy as np
import pytest

from evolve.errors import ConfigError
from evolve.evaluators.moe.metrics import gini, max_violation
from evolve.evaluators.placement.presets import PRESETS, SPLITS, trace_of


def most(trace, gpus=32):
    """Load of the busiest of 32 GPUs in units of the mean, experts lying in order: ``(t, L)``."""
    load = trace.load.reshape(trace.windows, trace.layers, gpus, -1).sum(-1)
    return load.max(-1) / load.mean(-1)


# The default problem (58 layers, 256 experts, 28 windows, 256 tokens) takes 0.9 to 1.1 s of one core to generate, 0.04 s of it
# without tokens. In four traces' mean, Gini's coefficient, the busiest expert and the busiest of 32 GPUs in units of the mean:
#
#     preset         Gini   expert   GPU, median        preset      Gini   expert   GPU, median
#     even           .002     1.01   1.00               normal_03   .169     1.85   1.21
#     lognormal_05   .275     3.66   1.43               ultra       .394     6.78   1.75
#     lognormal_1    .518    10.88   2.18               drift       .552    12.57   2.40
#     zipf_05        .304     8.37   1.87               regimes     .455     8.41   1.95
#     zipf_1         .663    31.99   4.58               bursts      .301     7.94   1.78
#     zipf_15        .851    32.00   4.81               mixed       .447     8.66   1.97
#     zipf_2         .922    32.00   5.34
#
# One draw of 58 layers elsewhere had Gini .28 and 3.5 times the mean for lognormal weights of deviation .5, .51 and 9.9 for 1. What
# is expected below is the mean of 4000 layers; a draw of 58 has three standard errors of .010 and 16 % where the deviation is 1. Of
# Zipf weights with s = 1 before the cap of 1/k, Gini is .68 and the busiest expert 42 times the mean.
@pytest.mark.parametrize(
    ("preset", "expected_gini", "expected_most"),
    [
        ("even", 0.002, 1.01),
        ("lognormal_05", 0.275, 3.7),
        ("lognormal_1", 0.517, 10.9),
        ("zipf_0", 0.002, 1.01),
        ("zipf_05", 0.304, 8.37),
        ("zipf_1", 0.663, 32.0),
        ("zipf_15", 0.851, 32.0),
        ("zipf_2", 0.922, 32.0),
        ("normal_03", 0.169, 1.85),
    ],
)
def test_skews_are_those_published(preset, expected_gini, expected_most):
    trace = trace_of(preset, "search", 0, windows=2, sampled=0)
    assert gini(trace.load) == pytest.approx(expected_gini, abs=0.01)
    assert max_violation(trace.load) + 1 == pytest.approx(expected_most, rel=0.16)


def test_zipf_has_the_published_skew_before_shares_are_cut_off():
    trace = trace_of("zipf_1", "search", 0, windows=1, sampled=0, k=1)
    assert gini(trace.load) == pytest.approx(0.68, abs=0.005)
    assert max_violation(trace.load) == pytest.approx(41, abs=1)


def test_gpus_are_as_unequal_as_ultra_says():
    trace = trace_of("ultra", "search", 0, windows=1, sampled=0, layers=580)
    busiest = most(trace)[0]
    assert np.median(busiest[:58]) == pytest.approx(1.32, abs=0.1)
    assert np.percentile(busiest, 99) == pytest.approx(4.0, abs=0.5)


@pytest.mark.parametrize(("preset", "moving"), [("lognormal_1", False), ("drift", True), ("regimes", True), ("bursts", True)])
def test_loads_move_where_the_name_says_so(preset, moving):
    # Chance alone moves .003 of the choices, with 51 000 for each expert; the half burst per layer that begins or ends, .02.
    trace = trace_of(preset, "search", 0, sampled=0, layers=8)
    share = trace.load / trace.load.sum(-1, keepdims=True)
    moved = np.abs(share[1:] - share[:-1]).sum(-1).mean() / 2
    assert (moved > 0.01) == moving


def test_drift_is_what_it_was_fitted_to():
    # Per expert, logits move from window to window with deviation .42 x sqrt(2 x (1 - .5)) = .42.
    values = np.log(trace_of("drift", "search", 0, sampled=0).load)
    values -= values.mean(-1, keepdims=True)
    assert np.diff(values, axis=0).std() == pytest.approx(0.42, abs=0.01)


def test_every_preset_makes_a_trace_of_the_default_problem():
    for preset in PRESETS:
        trace = trace_of(preset, "search", 0, windows=2, sampled=8)
        assert (trace.layers, trace.experts, trace.groups, trace.k) == (58, 256, 8, 8)
        assert trace.tokens.shape == (2, 58, 8, 8)
        assert trace.name == f"{preset}, search 0"
    assert {(config.windows, config.sampled) for config in PRESETS.values()} == {(28, 256)}


SMALL = {"layers": 2, "experts": 16, "groups": 4, "k": 2, "windows": 2, "sampled": 2}


def test_a_trace_is_a_function_of_its_name():
    one, same = (trace_of("mixed", "hidden", 3, **SMALL) for _ in range(2))
    assert (one.load == same.load).all()
    assert (one.tokens == same.tokens).all()


def test_a_secret_makes_other_traces_of_the_same_name():
    plain, one, other = (trace_of("mixed", "hidden", 3, secret=secret, **SMALL) for secret in ("", "one", "other"))
    assert plain.name == one.name == other.name
    assert len({trace.load.tobytes() for trace in (plain, one, other, trace_of("mixed", "hidden", 3, **SMALL))}) == 3


def test_presets_splits_and_numbers_have_nothing_in_common():
    traces = {
        (preset, split, number): trace_of(preset, split, number, **SMALL | {"lognormal": 1.0})
        for preset, split, number in itertools.product(PRESETS, SPLITS, range(3))
    }
    assert len({trace.load.tobytes() for trace in traces.values()}) == len(traces)
    first = np.stack([np.log(trace.load[0] + 1.0).ravel() for trace in traces.values() if trace.load.min() > 0])
    # 32 loads each: the correlation of two has a deviation of .18, and there are some 7 000 pairs (4.3 deviations).
    assert np.abs(np.corrcoef(first) - np.eye(len(first))).max() < 0.9


@pytest.mark.parametrize(
    ("asked", "more", "message"),
    [
        (("lognormal_5", "search", 0), {}, "no preset 'lognormal_5' of traces; did you mean 'lognormal_05'"),
        (("even", "test", 0), {}, "no split 'test'; expected one of search, validation, hidden"),
        (("even", "search", -1), {}, "number of a trace must be >= 0, got -1"),
        (("even", "search", 0), {"window": 3}, "no setting 'window'; did you mean 'windows'"),
        (("even", "search", 0), {"groups": 7}, "preset 'even' with these changes: groups must divide the 256 experts; got 7"),
        (("even", "search", 0), {"windows": 2.5}, "windows must be a whole number >= 1, got 2.5"),
    ],
)
def test_a_trace_that_there_is_not_is_refused(asked, more, message):
    with pytest.raises(ConfigError, match=message):
        trace_of(*asked, **more)


def test_presets_cannot_be_changed():
    with pytest.raises(TypeError):
        PRESETS["even"] = PRESETS["zipf_1"]
