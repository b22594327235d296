"""What a run may start from, and what is refused."""

from pathlib import Path

import pytest
from conftest import PARABOLA

import evolve
from evolve.errors import ConfigError
from evolve.starting import find_starts
from evolve.tasks.catalog import find


def program(x: str) -> str:
    return f"# EVOLVE-BLOCK-START\ndef where():\n    return {x}\n\n\n# EVOLVE-BLOCK-END\n"


@pytest.fixture
def task():
    return find(str(PARABOLA))


@pytest.fixture
def pair(tmp_path):
    """A task whose program has two files."""
    folder = tmp_path / "pair"
    folder.mkdir()
    (folder / "task.toml").write_text('name = "pair"\nprogram = ["main.py", "more.py"]\n')
    (folder / "main.py").write_text("import more\n")
    (folder / "more.py").write_text("x = 1\n")
    (folder / "evaluate.py").write_text("def evaluate(program):\n    return 1.0\n")
    return find(str(folder))


def test_a_file_takes_the_place_of_the_one_program_file(task, tmp_path):
    (tmp_path / "mine.py").write_text(program("2.0"))
    [start] = find_starts([tmp_path / "mine.py"], task, tmp_path / "none.db")
    assert start.files == {"initial.py": program("2.0")}
    assert start.origin == str(tmp_path / "mine.py")


def test_initial_is_the_tasks_own_program(task, tmp_path):
    [start] = find_starts(["initial"], task, tmp_path / "none.db")
    assert (start.origin, start.files) == ("initial", task.files)


def test_a_folder_holds_all_program_files_and_others_are_ignored(pair, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in {"main.py": "import more as m\n", "more.py": "x = 2\n", "notes.md": "no program\n"}.items():
        (folder / name).write_text(text)
    [start] = find_starts([str(folder)], pair, tmp_path / "none.db")
    assert start.files == {"main.py": "import more as m\n", "more.py": "x = 2\n"}
    (folder / "more.py").unlink()
    with pytest.raises(ConfigError, match=r"lacks more\.py; programs of task pair have main\.py, more\.py"):
        find_starts([str(folder)], pair, tmp_path / "none.db")


def test_one_file_is_no_program_of_two(pair, tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\n")
    with pytest.raises(ConfigError, match=r"is one file, and programs of task pair have 2 .* give a folder"):
        find_starts([str(tmp_path / "mine.py")], pair, tmp_path / "none.db")


def test_a_run_stands_for_its_best_program_and_a_word_behind_it_for_another(task, tmp_path):
    where = tmp_path / "a.db"
    run = evolve.run(task, steps=15, seed=1, archive=where, name="first")
    best, initial = run.summary()["best"], run.summary()["initial"]
    assert best["step"] > 0
    starts = find_starts(["first", "fir/initial", f"1/{best['program'][:8]}"], task, where)
    # The third is the first once more.
    assert [start.origin for start in starts] == [f"first/{best['program']}", f"first/{initial['program']}"]
    assert starts[0].files == run.best.files


def test_a_program_that_is_alike_up_to_layout_is_dropped_with_a_note(task, tmp_path, caplog):
    (tmp_path / "one.py").write_text(program("2.0"))
    (tmp_path / "two.py").write_text(program("2.00  # the same"))
    words = [str(tmp_path / "one.py"), str(tmp_path / "two.py")]
    assert len(find_starts(words, task, tmp_path / "none.db")) == 1
    assert "two.py is the same program as" in caplog.text


def test_text_outside_the_blocks_must_be_the_tasks(task, tmp_path):
    (tmp_path / "mine.py").write_text("import math\n" + program("2.0"))
    with pytest.raises(ConfigError, match=r"mine\.py does not fit task hello_parabola.*before the first block.*import math"):
        find_starts([str(tmp_path / "mine.py")], task, tmp_path / "none.db")


def test_what_is_neither_a_file_nor_a_run_is_named(task, tmp_path):
    with pytest.raises(ConfigError, match=r"'nope': there is no such file or folder, and no archive .*none\.db"):
        find_starts(["nope"], task, tmp_path / "none.db")
    with pytest.raises(ConfigError, match=r"nope\.py does not exist"):
        find_starts([Path("nope.py")], task, tmp_path / "none.db")
    evolve.run(task, steps=1, archive=tmp_path / "a.db")
    with pytest.raises(ConfigError, match=r"'nope' is no file and no folder, and as a run: .*nope"):
        find_starts(["nope"], task, tmp_path / "a.db")


def test_a_file_that_is_no_text_is_named(task, tmp_path):
    (tmp_path / "mine.py").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"mine\.py cannot be read"):
        find_starts([str(tmp_path / "mine.py")], task, tmp_path / "none.db")


def test_a_run_of_another_task_is_refused(task, tmp_path):
    def score(program):
        return evolve.Score(program.call("f"))

    other = evolve.inline_task("other", "def f():\n    return 1.0\n", score)
    evolve.run(other, steps=1, archive=tmp_path / "a.db", name="others")
    with pytest.raises(ConfigError, match=r"run others is of task other, not of hello_parabola"):
        find_starts(["others"], task, tmp_path / "a.db")
