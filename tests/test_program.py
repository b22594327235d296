import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.errors import TaskError
from evolve.program import Direction, Evaluation, Isolation, Limits, Metric, Outcome, Program, source_sha256

FILES = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=30), min_size=1, max_size=4)


def test_a_child_counts_generations_along_its_first_parent():
    initial = Program.make(0, {"a.py": "x = 1"}, strategy={"sigma": 0.5})
    donor = Program.make(1, {"a.py": "x = 2"})
    child = Program.make(2, {"a.py": "x = 3"}, (initial, donor))
    assert (child.generation, child.parents) == (1, (initial.program_id, donor.program_id))
    assert child.strategy == {"sigma": 0.5}


@given(FILES)
def test_identifiers_depend_on_step_parents_and_source(files):
    program = Program.make(3, files)
    parent = Program.make(0, {"p.py": ""})
    changed = {**files, next(iter(files)): next(iter(files.values())) + "x"}
    others = [Program.make(4, files), Program.make(3, changed), Program.make(3, files, (parent,))]
    assert program.program_id == Program.make(3, dict(reversed(files.items()))).program_id
    assert program.program_id not in {other.program_id for other in others}


def test_a_single_file_hashes_as_its_text():
    # sha256 of the three bytes "abc", from FIPS 180-2.
    assert source_sha256({"any.py": "abc"}) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_text_that_moves_between_files_changes_the_hash():
    assert source_sha256({"a": "xy", "b": "z"}) != source_sha256({"a": "x", "b": "yz"})


@pytest.mark.parametrize(
    ("outcome", "objective"),
    [(Outcome.OK, None), (Outcome.CRASHED, 0.0), (Outcome.OK, math.nan), (Outcome.OK, math.inf)],
)
def test_only_an_ok_evaluation_has_an_objective_and_it_is_finite(outcome, objective):
    with pytest.raises(ValueError, match="objective"):
        Evaluation(outcome, objective)


def test_a_metric_is_finite():
    with pytest.raises(ValueError, match="finite"):
        Metric(math.nan)


def test_oriented_values_are_larger_when_better():
    assert Direction.MAXIMIZE.oriented(-2.0) == -2.0
    assert Direction.MINIMIZE.oriented(-2.0) == 2.0


def test_isolation_levels_are_ranked_from_weak_to_strong():
    assert [level.rank for level in (Isolation.PROCESS, Isolation.LANDLOCK, Isolation.STRONG)] == [0, 1, 2]


@pytest.mark.parametrize("limits", [{"timeout_s": 0}, {"memory_mb": -1}, {"gpus": -1}, {"timeout_s": 5, "wall_timeout_s": 1}])
def test_limits_that_make_no_sense_are_refused(limits):
    with pytest.raises(TaskError, match="limits"):
        Limits(**limits)


def test_the_wall_clock_is_a_backstop_wider_than_the_cpu_limit():
    assert Limits(timeout_s=2).wall_s == 6
    assert Limits(timeout_s=2, wall_timeout_s=2.5).wall_s == 2.5


def test_a_metrics_direction_may_be_written_as_in_a_manifest():
    assert Metric(1.0, "minimize").direction is Direction.MINIMIZE
    with pytest.raises(ValueError, match="up"):
        Metric(1.0, "up")
