import dataclasses
import json

import pytest
from baselines_kit import measured, plan

from evolve.baselines.figure import draw
from evolve.baselines.journal import Journal
from evolve.baselines.report import as_json, as_markdown, mean_text
from evolve.baselines.results import Mean, read_results
from evolve.intervals import Interval


def results(made, values):
    measured(made, values)
    with Journal(made.folder, made.task) as journal:
        return read_results(made, journal)


@pytest.fixture
def found(tmp_path):
    return results(plan(tmp_path), {"one": [1.0, 2.0, 3.0], "two": [2.0, 4.0, 3.0], "bad": [None] * 3})


def test_the_report_has_every_baseline_with_what_is_known_of_it(found):
    text = as_markdown(found, command="evolve task baselines x", commit="abc", figure="baselines.png")
    lines = text.splitlines()
    assert "| baseline | score | difference to one | p | p, Holm | size | seconds | what it is |" in lines
    assert "| `one` | 2.0 ± 2.5 | – | – | – | 4.0 ± 5.0 | 0.5 | answers 1 |" in lines
    assert "| `two` | 3.0 ± 2.5 | 1.0 ± 2.5 | 0.5 | 0.5 | 6.0 ± 5.0 | 0.5 |  |" in lines
    failed = "crashed with 3 of 3 seeds: an exception in answer: KeyError: 'gone'"
    assert f"| `bad` | {failed} | – | – | – | – | 0.5 | not expected to score: a diagnostic |" in lines
    assert "- a machine" in lines
    assert "- the task's commit: `abc`" in lines
    assert "- `evolve task baselines x`" in lines
    assert "![Baselines](baselines.png)" in lines
    assert "The smallest p that 3 seeds can give is 0.25 (0.25 after the correction)." in text


def test_one_seed_gives_no_interval_and_says_so(tmp_path):
    text = as_markdown(results(plan(tmp_path, [5]), {"one": [1.0], "two": [2.0], "bad": [None]}), command="c")
    assert "| `two` | 2 | 1 | 1 | 1 | 4 | 0.5 |  |" in text
    assert "One seed says nothing of the spread" in text


def test_the_json_is_plain_and_whole(found):
    one, two, bad = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert {"name", "source", "outcome", "objective", "metrics"} <= set(one)
    assert (one["objective"], one["metrics"], one["difference"]) == (2.0, {"size": 4.0}, None)
    assert two["difference"]["reference"] == "one"
    assert two["difference"]["p_adjusted"] == 0.5
    assert two["values"] == [2.0, 4.0, 3.0]
    assert (bad["outcome"], bad["objective"], bad["unfit"], bad["failed"]) == ("crashed", None, "a diagnostic", 3)


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (0.123456, 0.0123, "0.123 ± 0.012"),
        (1234.5, 250.0, "1234 ± 250"),
        (2.0, 0.0, "2 ± 0"),
        (1e12, 1e11, "1000000000000 ± 1e+11"),
    ],
)
def test_a_mean_is_written_to_the_second_digit_of_its_interval(value, half, text):
    assert mean_text(Mean(value, Interval(value, value - half, value + half))) == text


def test_the_figure_is_drawn_of_what_scored(found, tmp_path):
    assert draw(found, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_points_in_one_place_are_drawn_too(tmp_path):
    assert draw(results(plan(tmp_path), {name: [1.0] * 3 for name in ("one", "two", "bad")}), tmp_path / "a.png")


def test_without_a_chart_the_objective_is_drawn(found, tmp_path):
    task = dataclasses.replace(found.task, baselines_table=type(found.task.baselines_table)())
    assert draw(dataclasses.replace(found, task=task), tmp_path / "a.png")


def test_nothing_is_drawn_where_nothing_scored(tmp_path):
    failed = results(plan(tmp_path), {name: [None] * 3 for name in ("one", "two", "bad")})
    assert not draw(failed, tmp_path / "a.png")
    assert "![Baselines]" not in as_markdown(failed, command="c")
