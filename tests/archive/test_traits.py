import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.archive.traits import check_traits, measure
from evolve.errors import ConfigError
from evolve.program import Evaluation, Metric, Outcome

CODE = """def f(x):
    for k in range(3):
        if x and k:
            return k

    return x or 1
"""
SCORED = Evaluation(
    Outcome.OK, 1.0, metrics={"loss": Metric(0.5), "speed": Metric(2.0)}, cpu_s=0.25, instances={"easy": 1.0, "hard": 3.0}
)


def test_code_is_measured_by_its_size_its_lines_and_where_it_branches():
    found = measure(["size", "lines", "complexity", "nesting"], CODE, SCORED)
    assert found == {"complexity": 4.0, "lines": 5.0, "nesting": 3.0, "size": float(len(CODE))}


def test_other_languages_branch_by_their_own_signs():
    assert measure(["complexity"], "while (a && b || c) { switch (d) { case 1: x = y ? 1 : 2; } }", SCORED) == {"complexity": 6.0}


def test_evaluations_are_measured_by_metrics_instances_and_time():
    wanted = ["metric:loss", "instance:hard", "cpu_s", "metric:missing"]
    assert measure(wanted, CODE, SCORED) == {"cpu_s": 0.25, "instance:hard": 3.0, "metric:loss": 0.5}


def test_all_instances_can_be_wanted_at_once():
    assert measure(["instance:*"], CODE, SCORED) == {"instance:easy": 1.0, "instance:hard": 3.0}


def test_an_unknown_trait_is_refused_with_the_nearest_known_one():
    check_traits(["size", "metric:loss", "instance:*"], "grid.traits")
    with pytest.raises(ConfigError, match=r"grid.traits: unknown trait 'compexity'.*complexity"):
        check_traits(["compexity"], "grid.traits")
    with pytest.raises(ConfigError, match="unknown trait 'metric:'"):
        check_traits(["metric:"], "grid.traits")


@given(st.text())
def test_any_text_can_be_measured(text):
    found = measure(["size", "lines", "complexity", "nesting"], text, SCORED)
    assert all(value >= 0 for value in found.values())
