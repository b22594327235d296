import pytest

from evolve.companions import Baseline, BaselinesTable
from evolve.errors import TaskError


@pytest.mark.parametrize("name", ["", "..", ".hidden", "-o", "a/b", "a b", "a\n"])
def test_a_baselines_name_is_fit_for_a_folder(name):
    with pytest.raises(TaskError, match="a baseline's name is made of"):
        Baseline(name, path="a.py")


def test_a_baseline_is_a_file_a_module_or_several():
    assert Baseline("loss-free_1.0", path="a.py").module == ""
    assert Baseline("a", modules=("a", "b")).path == ""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "got none of them"),
        ({"path": "a.py", "module": "a"}, "got path = 'a.py' and module = 'a'"),
        ({"module": "a", "modules": ("b",)}, r"got module = 'a' and modules = \['b'\]"),
    ],
)
def test_a_baseline_is_given_once(given, words):
    with pytest.raises(TaskError, match=f"baseline a: give exactly one of path, module and modules, {words}"):
        Baseline("a", **given)


def test_a_chart_has_two_axes():
    assert BaselinesTable(chart=("x", "y")).chart == ("x", "y")
    with pytest.raises(TaskError, match="chart takes two metrics"):
        BaselinesTable(chart=("x",))
