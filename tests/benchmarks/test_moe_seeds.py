"""Seeds and sizes of the MoE benchmarks: spreads, pairs, ranks, by numbers worked by hand."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

# The scripts of the folder find each other as its files do.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from moe_seeds import by_method, differences, ordinary, rank_interval, seeds_report, spearman, transfer_report
from moe_trials import Trained, Trial

from evolve.evaluators.moe.paired import seeds_needed


def trained(method, seed, loss, violation=0.5, size="nano", **more):
    metrics = {"cross_entropy": loss, "max_violation": violation, "dead_experts": 0.0, "active_flops": 1.0, "l1_imbalance": 0.2}
    return Trained(Trial(method, more.pop("constants", ()), size, seed), "code", metrics, **more)


def many(method, losses, **more):
    return {seed: trained(method, seed, loss, **more) for seed, loss in enumerate(losses)}


def test_methods_that_leak_or_want_experts_of_unequal_cost_are_left_out():
    assert {"expert_choice", "astrea_calibration", "shiftadd_latency"}.isdisjoint(ordinary())
    assert set(ordinary(unequal=True)) - set(ordinary()) == {"astrea_calibration", "shiftadd_latency"}


def test_trainings_are_sorted_by_method_without_those_that_failed_were_tuned_or_have_another_size():
    items = [
        trained("none", 0, 2.0),
        trained("none", 1, 2.0, failure="it diverged"),
        trained("switch", 0, 2.0, constants=(("COEFFICIENT", 0.1),)),
        trained("switch", 0, 2.0, size="micro"),
    ]
    assert by_method({item.trial: item for item in items}, "nano") == {"none": {0: items[0]}}


def test_differences_are_of_seeds_that_both_have():
    assert differences(many("none", [2.0, 2.5, 9.0]), many("loss_free", [1.5, 2.25])) == [0.5, 0.25]


def test_the_report_has_the_spread_the_pairs_and_the_reference_as_it_is_written_down():
    found = {"loss_free": many("loss_free", [1.0, 1.02, 1.04]), "none": many("none", [1.01, 1.02, 1.06], violation=2.0)}
    lines = list(seeds_report(found, "nano", unequal=False))
    # Differences 0.01, 0, 0.02: mean 0.01, standard deviation 0.01; Student's factor with 2 degrees of freedom is 4.3027.
    assert "| none | 3 | 1.0300 | 0.02646 | 2.000 | 0.200 | 0.000 | +0.0100 [-0.0148, +0.0348] | 0.01000 |" in lines
    needed = f"{seeds_needed(0.01, 0.01)}, {seeds_needed(0.01, 0.01, level=0.05 / 20)}"
    assert any(line.startswith(f"| none | {needed} |") for line in lines)  # half a sigma of 0.02
    assert any(
        line.startswith('("nano", False): Reference({0: 1.00000, 1: 1.02000, 2: 1.04000}, max_violation=0.500, dead=0.0000),')
        for line in lines
    )


def test_equal_ranks_correlate_wholly_opposite_ones_negatively_and_ties_say_nothing():
    assert spearman(np.array([1.0, 2.0, 30.0]), np.array([-5.0, 0.0, 0.1])) == pytest.approx(1.0)
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])) == pytest.approx(-1.0)
    assert spearman(np.array([1.0, 1.0, 1.0]), np.array([3.0, 2.0, 1.0])) == 0.0
    # Ranks 1, 2, 3, 4 and 2, 1, 4, 3: 1 - 6 x 4 / 60.
    assert spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 4.0, 3.0])) == pytest.approx(0.6)


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=8))
def test_a_ranking_correlates_with_itself_and_within_one(values):
    rho = spearman(np.array(values), np.array(values))
    assert rho == pytest.approx(1.0) or (rho == 0.0 and len(set(values)) == 1)


def test_sizes_that_agree_with_every_seed_have_an_interval_without_width():
    small = {name: many(name, [level, level + 0.1]) for name, level in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    large = {name: many(name, [level / 2]) for name, level in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    rho = rank_interval(small, large, ["a", "b", "c"], "cross_entropy")
    assert (rho.value, rho.low, rho.high) == (pytest.approx(1.0), pytest.approx(1.0), pytest.approx(1.0))


def test_seeds_that_rank_otherwise_widen_the_interval():
    small = {"a": many("a", [1.0, 3.0]), "b": many("b", [1.9, 1.0]), "c": many("c", [3.0, 2.0])}
    large = {name: many(name, [level]) for name, level in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    rho = rank_interval(small, large, ["a", "b", "c"], "cross_entropy")
    assert rho.low < 0.0 < rho.high


def test_methods_without_a_common_seed_are_refused():
    apart = {"a": {0: trained("a", 0, 1.0)}, "b": {1: trained("b", 1, 1.0)}, "c": {0: trained("c", 0, 1.0)}}
    with pytest.raises(ValueError, match="no seed in common"):
        rank_interval(apart, apart, ["a", "b", "c"], "cross_entropy")


def test_the_report_says_when_there_are_too_few_methods_to_rank():
    found = {"a": many("a", [1.0]), "b": many("b", [2.0])}
    assert "Rankings of 2 methods say nothing: 3 are needed." in list(transfer_report({"nano": found, "micro": found}))
