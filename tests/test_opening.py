"""Runs with several starting points: scored before the first step, and exact however the run was spread, cut off or repeated."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from conftest import PARABOLA, untimed
from hypothesis import given
from hypothesis import strategies as some
from test_kill import start, wait_until

import evolve
from evolve.errors import TaskError
from evolve.opening import _step

STEPS = 20


def program(x: str) -> str:
    return f"# EVOLVE-BLOCK-START\ndef where():\n    return {x}\n\n\n# EVOLVE-BLOCK-END\n"


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> list[str]:
    """A program that crashes, one better than the task's own, the task's own, and one worse."""
    folder = tmp_path_factory.mktemp("starts")
    for name, x in {"broken.py": "1 / 0", "near.py": "2.5", "far.py": "-4.0"}.items():
        (folder / name).write_text(program(x))
    return [str(folder / "broken.py"), str(folder / "near.py"), "initial", str(folder / "far.py")]


@pytest.fixture(scope="module")
def reference(tmp_path_factory, words):
    return evolve.run(
        str(PARABOLA), steps=STEPS, seed=3, workers=1, start=words, archive=tmp_path_factory.mktemp("reference") / "a.db"
    )


def test_the_first_that_scores_is_the_initial_program_and_the_others_have_numbers_below(reference, words):
    rows = reference.steps()
    assert [(row["step"], row["version"], row["objective"], row["outcome"]) for row in rows[:4]] == [
        (-3, -3, 49.0, "ok"),
        (-2, -2, 4.0, "ok"),
        (-1, -1, None, "crashed"),
        (0, 0, 0.25, "ok"),
    ]
    assert [row["step"] for row in rows[4:]] == list(range(1, STEPS + 1))
    assert all(row["version"] == row["step"] for row in rows)
    assert all(row["verified"] for row in rows[:4] if row["objective"] is not None)


def test_starting_programs_are_no_steps_and_are_listed_in_the_order_given(reference, words):
    shown = reference.summary()
    assert shown["steps"] == {"asked": STEPS, "done": STEPS}
    assert sum(shown["outcomes"].values()) == STEPS
    assert shown["initial"]["objective"] == 0.25
    assert [(item["origin"], item["step"], item["objective"]) for item in shown["starts"]] == [
        (words[0], -1, None),
        (words[1], 0, 0.25),
        (words[2], -2, 4.0),
        (words[3], -3, 49.0),
    ]


def test_every_island_has_every_starting_program_that_scored(reference):
    rows = reference.steps()
    starts = {row["program"] for row in rows if row["step"] <= 0 and row["objective"] is not None}
    for step in (1, 2):  # the first of each of two islands, before any child was added
        row = next(row for row in rows if row["step"] == step)
        assert row["planned_version"] == 0
        assert {row["parent"], *row["inspirations"]} == starts


def test_strict_order_does_not_depend_on_the_number_of_workers(tmp_path, reference, words):
    other = evolve.run(str(PARABOLA), steps=STEPS, seed=3, workers=2, start=words, archive=tmp_path / "a.db")
    assert untimed(other.steps()) == untimed(reference.steps())


def test_a_run_with_several_starting_points_repeats_from_its_archive_alone(tmp_path, words):
    copies = [shutil.copy(word, tmp_path) if Path(word).exists() else word for word in words]
    for order in ("strict", "asap"):
        evolve.run(str(PARABOLA), steps=8, start=copies, order=order, archive=tmp_path / "a.db", name=order)
    for copy in copies:
        Path(copy).unlink(missing_ok=True)
    for order in ("strict", "asap"):
        repeated = evolve.replay(order, archive=tmp_path / "a.db")
        assert (repeated.steps, repeated.differences) == (8, ())
    more = evolve.resume("strict", steps=12, archive=tmp_path / "a.db")
    assert more.summary()["steps"] == {"asked": 12, "done": 12}
    assert evolve.replay("strict", archive=tmp_path / "a.db").differences == ()


def committed(where: Path, table: str) -> int:
    """Rows on disk, read as anybody may while the run goes on."""
    if not where.exists():
        return 0
    connection = sqlite3.connect(f"file:{where}?mode=ro", uri=True)
    try:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    except sqlite3.OperationalError:
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize("scored", [2, 3, 4])
def test_a_run_killed_among_its_starting_points_goes_on_as_if_it_had_not_been(tmp_path, reference, words, scored):
    where = tmp_path / "a.db"
    options = [option for word in words for option in ("--start", word)]
    process = start(where, "run", str(PARABOLA), "--steps", str(STEPS), "--seed", "3", "--workers", "1", *options)
    assert wait_until(lambda: committed(where, "evaluations") >= scored or process.poll() is not None)
    process.kill()
    process.communicate()
    kept = sqlite3.connect(where).execute("SELECT step, evaluated_at FROM evaluations WHERE step <= 0 ORDER BY step").fetchall()
    assert len(kept) >= 2
    assert untimed(evolve.resume(archive=where).steps()) == untimed(reference.steps())
    after = sqlite3.connect(where).execute("SELECT step, evaluated_at FROM evaluations WHERE step <= 0 ORDER BY step").fetchall()
    assert set(kept) <= set(after)  # nothing is evaluated twice


def test_a_run_none_of_whose_starting_points_scores_says_so_and_can_be_begun_anew(tmp_path, words):
    (tmp_path / "other.py").write_text(program("None"))
    with pytest.raises(TaskError, match=r"broken\.py does not score \(nor does any of the other 1 starting points\): crashed"):
        evolve.run(str(PARABOLA), steps=1, start=[words[0], tmp_path / "other.py"], archive=tmp_path / "a.db")
    assert committed(tmp_path / "a.db", "programs") == 0


def test_a_starting_point_that_does_not_score_is_named(tmp_path, words, caplog):
    evolve.run(str(PARABOLA), steps=1, start=[*words[:2]], archive=tmp_path / "a.db")
    assert "broken.py does not score and is left out: crashed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_children_are_rewarded_against_their_parent(reference):
    rows = {row["program"]: row for row in reference.steps()}
    rewarded = [row for row in rows.values() if row["step"] > 0 and row["reward"] > 0]
    assert rewarded
    assert all(row["objective"] < rows[row["parent"]]["objective"] for row in rewarded)


@given(some.integers(1, 50), some.data())
def test_starting_points_get_the_numbers_from_0_down_each_once(count, data):
    first = data.draw(some.integers(0, count - 1))
    numbers = [_step(index, first) for index in range(count)]
    assert numbers[first] == 0
    assert sorted(numbers) == list(range(1 - count, 1))
    others = numbers[:first] + numbers[first + 1 :]
    assert others == sorted(others, reverse=True)
