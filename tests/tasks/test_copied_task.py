import pytest

from evolve.errors import ConfigError
from evolve.tasks.catalog import find
from evolve.tasks.scaffold import copy


def test_a_copy_is_a_task_with_the_same_program_and_scorer(tmp_path):
    task = find("circle_packing")
    again = find(str(copy(task, tmp_path)))
    assert (again.name, again.files, again.evaluator_sha256) == (task.name, task.files, task.evaluator_sha256)
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_copy_replaces_nothing(tmp_path):
    copy(find("circle_packing"), tmp_path)
    with pytest.raises(ConfigError, match="exists already; copy to another place with --in DIR"):
        copy(find("circle_packing"), tmp_path)


def test_the_command_says_what_to_do_with_a_copy(cli, tmp_path):
    assert "evolve run ./circle_packing" in cli("task", "copy", "circle_packing").out
    assert cli("task", "copy", "circle_packing", status=2).err.count("exists already") == 1
    assert cli("eval", "./circle_packing", "circle_packing/initial.py").out.startswith("circle_packing/initial.py: ok")
