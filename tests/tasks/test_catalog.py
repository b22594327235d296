import pytest

from evolve.errors import ConfigError
from evolve.tasks.catalog import bundled_folders, find, list_tasks, locate
from evolve.tasks.scaffold import write


def test_a_bundled_task_is_found_by_name_and_by_folder():
    by_name = find("circle_packing")
    by_folder = find(str(bundled_folders()["circle_packing"]))
    assert (by_name.origin, by_folder.origin) == ("bundled", "folder")
    assert by_name.evaluator_sha256 == by_folder.evaluator_sha256


def test_an_unknown_task_names_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"unknown task 'circle_paking'; did you mean 'circle_packing'\?"):
        find("circle_paking")


def test_a_folder_without_a_manifest_says_how_to_write_one(tmp_path):
    with pytest.raises(ConfigError, match=r"holds neither task\.toml, .*`evolve task new NAME`"):
        find(f"{tmp_path}/")


def test_a_folder_and_its_manifest_name_the_same_task(tmp_path):
    folder = write("mine", tmp_path)
    assert find(str(folder)).name == find(str(folder / "task.toml")).name == "mine"


def test_every_bundled_task_is_listed_with_summary_and_subject():
    tasks, broken = list_tasks()
    assert broken == []
    assert {task.name for task in tasks} >= set(bundled_folders())
    assert all(task.summary and task.subject for task in tasks)


def test_a_task_that_has_moved_is_found_again_by_name():
    assert locate("/no/such/folder", "circle_packing").name == "circle_packing"


@pytest.mark.parametrize("name", ["1st", "a-b", "", "a/b"])
def test_a_new_task_needs_a_name(tmp_path, name):
    with pytest.raises(ConfigError, match="use a letter"):
        write(name, tmp_path)


def test_a_new_task_never_writes_over_a_folder(tmp_path):
    write("mine", tmp_path)
    with pytest.raises(ConfigError, match="exists already"):
        write("mine", tmp_path)
