import re
from itertools import pairwise

import numpy as np
import pytest
from placement_scenario_kit import FOLLOWS, HIERARCHICAL, STILL, Told, drawn_scenario, local

from evolve.evaluators.base import Direction, Metric
from evolve.evaluators.placement.balance import balance, balancedness
from evolve.evaluators.placement.examined import examine
from evolve.evaluators.placement.migration import moved
from evolve.evaluators.placement.placement import slot_load, uniform_share
from evolve.evaluators.placement.report import Trial, feedback, metrics_of
from evolve.evaluators.placement.simulator import replay


def trial(text=HIERARCHICAL, cost_s=None, **scenario):
    drawn = drawn_scenario(**scenario)
    policy = local(text, drawn) if cost_s is None else Told(local(text, drawn).plan, cost_s=cost_s)
    found = replay(policy, drawn)
    return Trial(drawn, found, examine(local(text, drawn), drawn, found, range(len(found.slots))))


def plain(metrics):
    return {name: value.value if isinstance(value, Metric) else value for name, value in metrics.items()}


def test_balance_is_that_of_each_window_under_the_placement_that_was_in_force():
    one = trial()
    balances = []
    for moment, slots in zip(one.scenario.moments, one.replay.slots.astype(np.int64), strict=True):
        loads = slot_load(one.scenario.load_of(moment), slots, uniform_share(slots, 8))
        balances.append(balance(loads, 4))
        assert balancedness(loads.reshape(2, 4, 3).sum(-1)) == balances[-1].gpu
    found = plain(metrics_of([one]))
    assert found["balancedness_gpu"] == pytest.approx(np.mean([each.gpu for each in balances]))
    assert found["balancedness_expert"] == pytest.approx(np.mean([each.expert for each in balances]))
    assert found["max_violation"] == pytest.approx(np.mean([each.max_vio for each in balances]))


def test_steps_are_told_in_milliseconds():
    one = trial(steps=10)
    found = plain(metrics_of([one]))
    assert found["step_ms"] == pytest.approx(1e3 * one.replay.step_s.mean())
    assert found["charged_ms"] == pytest.approx(1e3 * (one.replay.step_s + one.replay.move_s / 10).mean())
    # The cluster hides nothing: a step is its computation and its communication.
    assert found["step_ms"] == pytest.approx(found["compute_ms"] + found["communication_ms"])
    assert found["ideal_ms"] <= found["step_ms"] <= found["step_p95_ms"] <= 1e3 * one.replay.step_s.max()


def test_what_moved_is_told_in_gigabytes_and_slots():
    one = trial(FOLLOWS)
    placements = [one.scenario.start, *one.replay.slots.astype(np.int64)]
    moves = [moved(before, after, one.scenario.cluster, 8) for before, after in pairwise(placements)]
    found = plain(metrics_of([one]))
    assert found["moved_slots"] == pytest.approx(np.mean([move.slots for move in moves]))
    assert found["moved_gb"] == pytest.approx(1e-9 * np.mean([move.intra_bytes + move.inter_bytes for move in moves]))
    assert found["moved_between_nodes_gb"] == pytest.approx(1e-9 * np.mean([move.inter_bytes for move in moves]))


def test_the_time_of_a_plan_is_the_median_over_all_traces():
    trials = [trial(cost_s=1.0), trial(cost_s=3.0, windows=9)]
    assert plain(metrics_of(trials))["plan_ms"] == pytest.approx(3e3)


def test_parts_of_the_gap_add_up():
    found = plain(metrics_of([trial(seed=seed) for seed in range(3)]))
    assert found["gap"] == pytest.approx(found["gap_forecast"] + found["gap_packing"])
    assert found["gap"] > 0


def test_traces_of_different_lengths_and_depths_count_alike():
    trials = [trial(seed=0), trial(seed=1, windows=9), trial(seed=2, layers=3, experts=12)]
    together, alone = plain(metrics_of(trials)), [plain(metrics_of([one])) for one in trials]
    for name in set(together) - {"plan_ms", "step_p95_ms"}:
        assert together[name] == pytest.approx(np.mean([one[name] for one in alone])), name


def test_directions_say_what_is_better():
    metrics = metrics_of([trial()])
    up = {name for name, value in metrics.items() if getattr(value, "direction", None) is Direction.MAXIMIZE}
    down = {name for name, value in metrics.items() if getattr(value, "direction", None) is Direction.MINIMIZE}
    assert up == {"balancedness_gpu", "balancedness_expert"}
    assert down == {"max_violation", "step_ms", "step_p95_ms", "charged_ms", "moved_gb", "plan_ms", "gap"}
    assert set(metrics) - up - down >= {"ideal_ms", "wasted", "gap_forecast", "gap_packing"}


def test_feedback_says_for_each_trace_where_time_and_balance_are_lost():
    trials = [trial(seed=0, name="first"), trial(STILL, seed=1, name="second")]
    first, second = feedback(trials).splitlines()
    assert first.startswith(f"first: ratio {trials[0].replay.ratio:.4f}, step {1e3 * trials[0].replay.charged_s.mean():.3f} ms")
    assert second.startswith("second: ratio ")
    assert "0 of 24 slots moved per window" in second
    gap = trials[0].examination.gaps.overall()
    percents = [float(percent) for percent in re.findall(r"(-?[\d.]+)%", first)]
    assert percents == pytest.approx([100 * gap.total, 100 * gap.forecast, 100 * gap.packing], abs=0.06)
