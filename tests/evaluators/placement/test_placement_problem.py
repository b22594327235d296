import json
import re
from dataclasses import replace

import numpy as np
import pytest
from placement_scenario_kit import TINY, drawn_trace, shrink

from evolve.errors import ConfigError
from evolve.evaluators.placement import problem
from evolve.evaluators.placement.presets import SPLITS
from evolve.evaluators.placement.problem import Problem, ProblemConfig
from evolve.evaluators.placement.scenario import Rules
from evolve.evaluators.placement.trace import save_trace

RULES = Rules(history=2)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    shrink(monkeypatch)


def written(folder, load, name="loads.json"):
    """Loads ``(t, L, E)`` of steps in EPLB's format."""
    history = [{"logical_expert_load": np.asarray(step).tolist()} for step in load]
    (folder / name).write_text(json.dumps({"load_history": history}))
    return name


def recorded(folder, name, **more):
    config = ProblemConfig(**{"recorded": (name,), "eplb_window": 2, "eplb_k": 2, "eplb_groups": 2, "rules": RULES, **more})
    return Problem(config, folder)


def only(found):
    [scenario] = found
    return scenario


def read(folder, text):
    (folder / "placement.toml").write_text(text)
    return ProblemConfig.read(folder / "placement.toml")


def test_settings_are_read_from_the_file(tmp_path):
    config = read(
        tmp_path,
        'cluster = "h800"\npresets = ["drift", "even"]\nlayers = 3\noverlap = 0.5\n[rules]\nhistory = 4\nkeep_groups = true\n',
    )
    assert (config.presets, config.layers, config.overlap) == (("drift", "even"), 3, 0.5)
    assert config.rules == Rules(history=4, keep_groups=True)
    assert Problem(config, tmp_path).cluster == replace(TINY, overlap=0.5)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('presets = ["drifd"]', "placement.toml: presets: 'drifd'; did you mean 'drift'?"),
        ('presets = ["drift"]\ncluster = "h80"', "placement.toml: cluster: 'h80'; did you mean 'h800'?"),
        ('presets = ["drift"]\nlayer = 3', "placement.toml: unknown key 'layer'; did you mean 'layers'?"),
        (
            'presets = ["drift"]\n[rules]\nkeep_group = true',
            "placement.toml: rules: unknown key 'keep_group'; did you mean 'keep_groups'?",
        ),
        ('presets = ["drift"]\n[rules]\nhistory = 0', "placement.toml: rules: history must be >= 1 window, got 0"),
        ('presets = ["drift"]\nwindows = 0', "placement.toml: windows must be >= 1, got 0"),
        ('presets = ["drift"]\nwindows = 1.5', "placement.toml: windows must be a whole number, got 1.5"),
        ('presets = "drift"', "placement.toml: presets must be a list, got 'drift'"),
        ('presets = ["drift", "even", "drift"]', "placement.toml: presets: 'drift' is there more than once"),
        ('recorded = ["a.npz", "a.npz"]', "placement.toml: recorded: 'a.npz' is there more than once"),
        ("presets = []", "placement.toml: name presets or recorded traces; presets are even, lognormal_05"),
        ("presets = [", "placement.toml is not valid TOML"),
    ],
)
def test_settings_that_cannot_be_say_so_and_name_the_nearest(tmp_path, text, why):
    with pytest.raises(ConfigError, match=re.escape(why)):
        read(tmp_path, text)


def test_an_overlap_out_of_range_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"overlap must be a finite number, in \[0, 1\]; got 2.0"):
        Problem(ProblemConfig(presets=("drift",), overlap=2.0), tmp_path)


def test_generated_traces_have_the_windows_of_history_beside_those_that_count(tmp_path):
    config = ProblemConfig(presets=("drift", "even"), layers=3, windows=4, steps_per_window=7, rules=RULES)
    scenarios = Problem(config, tmp_path).scenarios("search", range(2))
    assert [one.trace.name for one in scenarios] == ["drift, search 0", "drift, search 1", "even, search 0", "even, search 1"]
    for one in scenarios:
        assert (one.trace.windows, one.trace.layers, one.trace.steps_per_window) == (6, 3, 7)
        assert (one.cluster, one.rules) == (TINY, RULES)


def test_generated_traces_follow_the_secret(tmp_path):
    configs = [read(tmp_path, f'presets = ["drift"]\nlayers = 1\n{line}') for line in ("", 'secret = ""', 'secret = "plum"')]
    loads = [only(Problem(config, tmp_path).scenarios("hidden", range(1))).trace.load for config in configs]
    assert np.array_equal(loads[0], loads[1])
    assert not np.array_equal(loads[0], loads[2])


def test_generated_traces_of_different_splits_have_nothing_in_common(tmp_path):
    config = ProblemConfig(presets=("drift",), layers=2, windows=4, rules=RULES)
    loads = [one.trace.load for split in SPLITS for one in Problem(config, tmp_path).scenarios(split, range(3))]
    assert len({load.tobytes() for load in loads}) == 9


@pytest.mark.parametrize("kind", ["json", "npz"])
def test_a_recorded_trace_is_split_in_time(tmp_path, kind):
    trace = drawn_trace(windows=24, groups=2)
    if kind == "json":
        halves = np.stack([trace.load // 2, trace.load - trace.load // 2], axis=1).reshape(48, 2, 8)
        name = written(tmp_path, halves)
    else:
        name = "loads.npz"
        save_trace(tmp_path / name, trace)
    problem = recorded(tmp_path, name)
    parts = [only(problem.scenarios(split, range(1))).trace for split in SPLITS]
    assert [part.windows for part in parts] == [12, 6, 6]
    assert np.array_equal(np.concatenate([part.load for part in parts]), trace.load)
    assert {(part.name, part.k, part.groups) for part in parts} == {(name, 2, 2)}
    if kind == "npz":
        assert np.array_equal(np.concatenate([part.tokens for part in parts]), trace.tokens)
    else:
        assert [part.steps_per_window for part in parts] == [2, 2, 2]
        # Loads alone: tokens are sampled, the same each time, and other ones for each split.
        assert [part.tokens.shape for part in parts] == [(12, 2, 256, 2), (6, 2, 256, 2), (6, 2, 256, 2)]
        again = only(problem.scenarios("hidden", range(1))).trace
        assert np.array_equal(again.tokens, parts[2].tokens)


@pytest.mark.parametrize("windows", range(9, 21))
def test_parts_of_a_recorded_trace_are_disjoint_and_leave_nothing_out(tmp_path, windows):
    trace = drawn_trace(windows=windows)
    save_trace(tmp_path / "loads.npz", trace)
    problem = recorded(tmp_path, "loads.npz", rules=Rules(history=1))
    parts = [only(problem.scenarios(split, range(1))).trace.load for split in SPLITS]
    assert np.array_equal(np.concatenate(parts), trace.load)


def test_a_recorded_trace_is_the_same_whatever_the_numbers(tmp_path):
    save_trace(tmp_path / "loads.npz", drawn_trace(windows=24))
    problem = recorded(tmp_path, "loads.npz", presets=("drift",), layers=2, windows=4)
    names = [[one.trace.name for one in problem.scenarios("validation", numbers)] for numbers in (range(1), range(7, 9))]
    assert names == [["drift, validation 0", "loads.npz"], ["drift, validation 7", "drift, validation 8", "loads.npz"]]


def test_traces_of_one_name_in_two_folders_are_told_apart(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save_trace(tmp_path / folder / "loads.npz", drawn_trace(windows=24))
    problem = Problem(ProblemConfig(recorded=("a/loads.npz", "b/loads.npz"), rules=RULES), tmp_path)
    assert [one.trace.name for one in problem.scenarios("search", range(1))] == ["a/loads.npz", "b/loads.npz"]


@pytest.mark.parametrize(("windows", "split", "part"), [(4, "search", 2), (11, "validation", 2), (8, "hidden", 2)])
def test_a_recorded_trace_that_is_too_short_for_a_split_says_by_how_much(tmp_path, windows, split, part):
    save_trace(tmp_path / "loads.npz", drawn_trace(windows=windows))
    why = rf"loads.npz has {windows} windows, of which the split '{split}' gets {part}; more than 2 \(rules.history\) are needed"
    with pytest.raises(ConfigError, match=why):
        recorded(tmp_path, "loads.npz").scenarios(split, range(1))


def test_a_recorded_trace_with_more_experts_than_slots_says_so(tmp_path):
    save_trace(tmp_path / "loads.npz", drawn_trace(windows=24, experts=16))
    with pytest.raises(ConfigError, match=r"trace loads.npz: a cluster with 12 slots cannot hold 16 experts"):
        recorded(tmp_path, "loads.npz").scenarios("search", range(1))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"eplb_groups": 3}, r"loads.json make no trace: groups must divide the 8 experts; got 3 .read with .*eplb_groups = 3"),
        ({"eplb_k": 9}, r"loads.json make no trace: k must lie in \[1, 8\], the number of experts; got 9"),
        ({"eplb_window": 49}, r"loads.json make no trace: a window must have 1 to 48 steps, as many as there are; got 49"),
        ({"eplb_groups": 8, "group_limit": 1}, r"loads.json: no tokens can be sampled with group_limit = 1: .* got k 2"),
        ({"eplb_groups": 1, "rules": Rules(2, keep_groups=True)}, "trace loads.json: rules.keep_groups needs groups"),
    ],
)
def test_settings_that_do_not_fit_a_recorded_trace_name_it(tmp_path, settings, why):
    name = written(tmp_path, np.ones((48, 2, 8), dtype=int))
    with pytest.raises(ConfigError, match=why):
        recorded(tmp_path, name, **settings).scenarios("search", range(1))


@pytest.mark.parametrize(("value", "told"), [(-3, "-3"), (None, "null"), (0.5, "0.5"), (float("nan"), "nan"), ("7", "'7'")])
def test_a_recorded_load_that_is_none_is_named_with_file_place_and_value(tmp_path, value, told):
    load = np.ones((48, 2, 8)).astype(int).tolist()
    load[5][1][6] = value
    name = written(tmp_path, np.array(load, dtype=object))
    why = f"loads.json make no trace: step 5, layer 1, expert 6: expected a whole number from 0 to 2^40, got {told}"
    with pytest.raises(ConfigError, match=re.escape(why)):
        recorded(tmp_path, name).scenarios("search", range(1))


def test_a_window_without_load_in_a_layer_is_named(tmp_path):
    load = np.ones((48, 2, 8), dtype=int)
    load[4:6, 1] = 0
    name = written(tmp_path, load)
    with pytest.raises(ConfigError, match=r"loads.json make no trace: .* window 2, layer 1 \(counted from 0\) has none"):
        recorded(tmp_path, name).scenarios("search", range(1))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none.npz", "none.npz cannot be read"),
        ("none.json", "none.json cannot be read"),
        ("none.csv", "end in .json, in EPLB's public format, or in .npz"),
    ],
)
def test_a_recorded_trace_that_is_not_there_is_named(tmp_path, name, why):
    with pytest.raises(ConfigError, match=why):
        recorded(tmp_path, name).scenarios("search", range(1))


def test_the_published_clusters_are_the_ones_to_choose_from(monkeypatch):
    monkeypatch.undo()
    for cluster in ("h800", "h100", "a100"):
        assert ProblemConfig(cluster=cluster, presets=("drift",)).cluster in problem.CLUSTERS
