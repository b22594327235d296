import importlib
import subprocess
import sys
import threading
import types

import cloudpickle
import numpy as np
import pytest

from evolve.errors import TaskError
from evolve.executors.pickling import _as_values, pickled
from evolve.program import Task

EVALUATE = """
import own_tools
from own_numbers import OFFSET, add

class Doubled:
    def __init__(self, x):
        self.value = 2 * x

def evaluate(program):
    return add(own_tools.scale(Doubled(program).value), OFFSET)
"""
MODULES = {
    "own_evaluate": EVALUATE,
    "own_tools": "import numpy as np\n\ndef scale(x):\n    return float(np.multiply(x, 10))\n",
    "own_numbers": "OFFSET = 2\n\ndef add(x, y):\n    return x + y\n",
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """An author's modules, which belong to no installed package."""
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("own_evaluate")
    for name in MODULES:
        sys.modules.pop(name, None)


def task(evaluate):
    return Task("t", {"a.py": "x = 1\n"}, evaluate=evaluate)


def called_elsewhere(content, folder):
    """Loads a task in a fresh interpreter, and calls its evaluator with 2."""
    (folder / "task").write_bytes(content)
    script = "import sys, cloudpickle; task = cloudpickle.load(open(sys.argv[1], 'rb')); sys.stdout.write(str(task.evaluate(2)))"
    words = [sys.executable, "-P", "-c", script, str(folder / "task")]
    return subprocess.run(words, cwd="/", capture_output=True, text=True, check=False)


def test_an_authors_modules_travel_by_value(own, tmp_path):
    found = called_elsewhere(pickled(task(own.evaluate), by_value=True), tmp_path)
    assert (found.stdout, found.returncode) == ("42.0", 0), found.stderr


def test_they_go_by_name_where_nobody_says_otherwise(own, tmp_path):
    found = called_elsewhere(pickled(task(own.evaluate)), tmp_path)
    assert found.returncode != 0
    assert "No module named 'own_evaluate'" in found.stderr


def test_modules_of_installed_packages_go_by_name():
    assert len(pickled(task(np.linalg.norm), by_value=True)) < 2000
    assert len(pickled(task(subprocess.run), by_value=True)) < 2000
    assert cloudpickle.loads(pickled(task(len), by_value=True)).evaluate is len


def test_extensions_go_by_name_wherever_they_lie(own, monkeypatch, tmp_path):
    extension = types.ModuleType("own_extension")
    extension.__file__ = str(tmp_path / "own_extension.so")
    monkeypatch.setitem(sys.modules, "own_extension", extension)
    own.own_tools = extension
    assert b"own_extension" in pickled(task(own.evaluate), by_value=True)
    with _as_values():
        assert {name for name in cloudpickle.list_registry_pickle_by_value() if name.startswith("own_")} == {*MODULES}


def test_nothing_stays_registered(own):
    before, lock = cloudpickle.list_registry_pickle_by_value(), threading.Lock()
    pickled(task(own.evaluate), by_value=True)
    with pytest.raises(TaskError):
        pickled(task(lambda program: lock), by_value=True)
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_what_an_author_has_registered_stays_registered(own):
    cloudpickle.register_pickle_by_value(own)
    try:
        pickled(task(own.evaluate), by_value=True)
        assert "own_evaluate" in cloudpickle.list_registry_pickle_by_value()
    finally:
        cloudpickle.unregister_pickle_by_value(own)


@pytest.mark.parametrize("by_value", [False, True])
def test_what_cannot_be_sent_is_named(by_value):
    lock = threading.Lock()
    with pytest.raises(TaskError, match=r"task t: its evaluate function cannot be sent to a worker: .*lock"):
        pickled(task(lambda program: lock), by_value=by_value)
