"""The report on strategies: how ratios are made, what counts as no worse, and that tables hold what was measured."""

import math
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.config import resolve

# The scripts of the folder find each other as its files do.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from search_report import MARGIN, log_ratios, ratio_interval, report
from search_trials import PARTS, STRATEGIES, Measured, Trial, make, measure, read

STEPS = 1000


def runs(landscape, variant, marks):
    return {
        (landscape, variant, seed): Measured(Trial(landscape, variant, seed, STEPS), mark, 95.0, 0.001, 0.5)
        for seed, mark in enumerate(marks)
    }


def table(items, title, first):
    """The rows of the table whose head begins so, below a title."""
    lines = list(report(list(items.values())))
    lines = lines[next(n for n, line in enumerate(lines) if title in line) :]
    begin = next(n for n, line in enumerate(lines) if line.startswith(f"| {first}"))
    rows = []
    for line in lines[begin:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_ratios_are_means_of_logs_over_landscapes():
    found = runs("genes", "default", [100]) | runs("genes", "beam", [200])
    found |= runs("tiny", "default", [400]) | runs("tiny", "beam", [100])
    assert log_ratios(found, ["genes", "tiny"], "beam") == {0: pytest.approx(math.log(2) / 2)}


def test_seeds_that_one_of_them_lacks_are_left_out():
    found = runs("genes", "default", [100, 100, 100]) | runs("genes", "beam", [100, 100])
    assert set(log_ratios(found, ["genes"], "beam")) == {0, 1}


@settings(deadline=None)  # the first interval imports scipy
@given(st.lists(st.floats(-2, 2), min_size=2, max_size=20), st.floats(-1, 1))
def test_intervals_of_ratios_hold_the_mean_and_move_with_it(logs, shift):
    near, far = (ratio_interval(dict(enumerate(value + by for value in logs))) for by in (0.0, shift))
    assert near.low <= near.value * (1 + 1e-9)
    assert near.value <= near.high * (1 + 1e-9)
    for one, other in zip(near, far, strict=True):
        assert other == pytest.approx(one * math.exp(shift), rel=1e-6)


def test_one_seed_has_no_interval():
    assert ratio_interval({0: 0.5}) is None


@pytest.mark.parametrize(
    ("default", "verdict"),
    [
        ([100, 101, 99, 100], "better"),
        ([200, 201, 199, 200], "no worse"),
        ([220, 221, 222, 220], "no worse"),
        ([20, 400, 300, 80], "not shown"),
        ([300, 301, 299, 300], "worse"),
    ],
)
def test_no_worse_means_that_the_whole_interval_is_below_the_margin(default, verdict):
    found = runs("genes", "default", default) | runs("genes", "beam", [200] * 4)
    rows = table(found, "Strategies", "steps of `default` / steps of | open")
    assert rows[2][0] == "beam"
    assert rows[2][2] == verdict
    high = ratio_interval(log_ratios(found, ["genes"], "beam")).high
    assert (high < MARGIN) == (verdict in ("better", "no worse"))


def test_open_and_reserved_landscapes_are_judged_apart():
    found = runs("genes", "default", [100] * 3) | runs("genes", "beam", [200] * 3)
    found |= runs("scheduling", "default", [200] * 3) | runs("scheduling", "beam", [100] * 3)
    [row] = table(found, "Strategies", "steps of `default` / steps of | open")[2:]
    assert row == ["beam", "0.50 [0.50, 0.50]", "better", "2.00 [2.00, 2.00]", "worse"]


def test_every_table_is_as_wide_as_its_head():
    found = {}
    for variant in (*STRATEGIES, *PARTS):
        for landscape in ("genes", "noisy", "scheduling"):
            found |= runs(landscape, variant, [100, 1001, 50])
    lines = [line for line in report(list(found.values())) if line.startswith("|")]
    width = None
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if after.startswith("| ---"):
            width = line.count("|")
        assert line.count("|") == width, line


def test_runs_that_never_arrived_are_counted_and_shown_as_longer():
    found = runs("genes", "default", [1001, 1001, 7])
    [row] = table(found, "Strategies", "steps to the mark")[2:]
    assert row == ["default", ">1000 [7, >1000], 1/3"]


def test_ratios_to_a_baseline_that_never_arrived_are_upper_bounds():
    found = runs("genes", "default", [100] * 3) | runs("genes", "best_of_n", [1001] * 3) | runs("genes", "sequential", [200] * 3)
    rows = table(found, "Against the baselines", "median steps")[2:]
    assert rows == [["best_of_n", "≤ 0.10"], ["sequential", "0.50"]]


def test_what_stands_after_the_correction_is_marked():
    found = runs("genes", "default", range(100, 112)) | runs("genes", "beam", range(200, 212))
    found |= runs("tiny", "default", [100, 200] * 6) | runs("tiny", "beam", [200, 100] * 6)
    rows = table(found, "Strategies", "steps of `default` / steps of, geometric")[2:]
    assert rows[0][0] == "beam"
    assert rows[0][1].endswith("*")
    assert rows[0][2] == "1.00"


def test_every_variant_can_be_configured_and_parts_change_the_default():
    default = resolve(make("tiny").task(), settings=STRATEGIES["default"])
    for chosen in STRATEGIES.values():
        resolve(make("tiny").task(), settings=chosen)
    for name, changed in PARTS.items():
        assert resolve(make("tiny").task(), settings=changed) != default, name


def test_what_was_measured_is_read_again(tmp_path):
    item = measure(Trial("tiny", "default", 3, 40))
    (tmp_path / "search.jsonl").write_text(item.line() + "\n")
    [found] = read(tmp_path / "search.jsonl")
    assert found.trial == item.trial
    assert found.mark == item.mark
    assert list(read(tmp_path / "none.jsonl")) == []
