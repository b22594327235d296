import dataclasses

import pytest
from baselines_kit import write_task

from evolve.baselines.programs import select
from evolve.errors import ConfigError, TaskError
from evolve.program import Baseline, BaselinesTable
from evolve.tasks.base import load


@pytest.fixture
def task(tmp_path):
    return load(write_task(tmp_path / "task"), "folder")


def names(selection):
    return [program.name for program in selection.programs]


def test_all_are_chosen_in_the_tasks_order_and_held_against_the_first_that_should_score(task):
    selection = select(task)
    assert (names(selection), selection.reference) == (["one", "two", "bad"], "one")
    unfit_first = dataclasses.replace(task, baselines=tuple(reversed(task.baselines)))
    assert select(unfit_first).reference == "two"
    assert select(task, only=["bad"]).reference == "bad"


def test_the_reference_that_the_task_names_is_measured_with_the_others(task):
    named = dataclasses.replace(task, baselines_table=BaselinesTable(reference="two"))
    assert select(named).reference == "two"
    selection = select(named, only=["bad"])
    assert (names(selection), selection.reference) == (["two", "bad"], "two")
    assert select(named, reference="one").reference == "one"
    with pytest.raises(ConfigError, match="no baseline 'tow'"):
        select(dataclasses.replace(task, baselines_table=BaselinesTable(reference="tow")))


def test_a_reference_that_is_named_is_measured_with_the_others(task):
    selection = select(task, only=["bad"], reference="two")
    assert (names(selection), selection.reference) == (["two", "bad"], "two")


def test_a_baseline_takes_the_place_of_the_programs_first_file(task):
    several = dataclasses.replace(task, files={**task.files, "more.py": "x = 1\n"})
    first = select(several).programs[0]
    assert dict(first.files) == {"initial.py": "def answer():\n    return 1.0\n", "more.py": "x = 1\n"}
    assert first.paths == (task.folder / "baselines" / "one.py",)


def test_a_module_is_read_and_not_imported(task, tmp_path, monkeypatch):
    (tmp_path / "a_method.py").write_text("raise SystemExit\n")
    monkeypatch.syspath_prepend(tmp_path)
    program = select(dataclasses.replace(task, baselines=(Baseline("m", module="a_method"),))).programs[0]
    assert program.files["initial.py"] == "raise SystemExit\n"


def test_several_modules_are_one_program_in_their_order(task, tmp_path, monkeypatch):
    (tmp_path / "a_part.py").write_text("raise SystemExit")  # without the end of a line
    (tmp_path / "a_whole.py").write_text("def answer():\n    return 3.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    program = select(dataclasses.replace(task, baselines=(Baseline("m", modules=("a_part", "a_whole")),))).programs[0]
    assert program.files["initial.py"] == "raise SystemExit\n\ndef answer():\n    return 3.0\n"
    assert program.paths == (tmp_path / "a_part.py", tmp_path / "a_whole.py")


@pytest.mark.parametrize(
    ("baseline", "words"),
    [
        (Baseline("a", path="../one.py"), "must lie inside"),
        (Baseline("a", path="/one.py"), "must lie inside"),
        (Baseline("a", path="gone.py"), "gone.py cannot be read"),
        (Baseline("a", module="no.such_module"), "no installed module 'no.such_module'"),
        (Baseline("a", modules=("json", "no.such_module")), "no installed module 'no.such_module'"),
        (Baseline("a", module="sys"), "no installed module 'sys' with a source file"),
    ],
)
def test_what_cannot_be_read_is_named(task, baseline, words):
    with pytest.raises(TaskError, match=words):
        select(dataclasses.replace(task, baselines=(baseline,)))


def test_names_that_are_not_there_are_refused(task):
    with pytest.raises(ConfigError, match="no baseline 'tow'; did you mean 'two'"):
        select(task, only=["tow"])
    with pytest.raises(ConfigError, match="no baseline 'x'"):
        select(task, reference="x")
    with pytest.raises(ConfigError, match=r"has no baselines; add some to its task.toml"):
        select(dataclasses.replace(task, baselines=()))
