"""Somebody else's package is installed for real, and its task is listed, checked, run and resumed like a bundled one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evolve.errors import TaskError
from evolve.plugins import installed, load

PACKAGE = Path(__file__).parent / "plugin_package"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Installs a copy of the package (building leaves files behind) into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "package"
    subprocess.run(["cp", "-r", str(PACKAGE), str(source)], check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(target), str(source)], check=True, capture_output=True)
    return target


@pytest.fixture
def evolve(site, tmp_path):
    """Calls the command line where the package is installed."""

    def call(*words, status=0):
        environment = {**os.environ, "PYTHONPATH": str(site)}
        command = [sys.executable, "-m", "evolve.cli", *words]
        answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert answer.returncode == status, answer.stderr
        return answer.stdout

    return call


def test_an_installed_task_is_listed_with_its_package(evolve):
    tasks = {task["name"]: task for task in json.loads(evolve("task", "list", "--json"))}
    assert tasks["hello_parabola"]["origin"] == "evolve-hello-task"
    assert tasks["hello_parabola"]["summary"] == "Find the lowest point of a parabola."


def test_an_installed_task_passes_its_checks(evolve):
    assert json.loads(evolve("task", "check", "hello_parabola", "--json"))["ok"] is True


def test_an_installed_task_is_run_and_resumed(evolve):
    ran = json.loads(evolve("run", "hello_parabola", "--json"))
    assert ran["steps"] == {"asked": 40, "done": 40}
    assert ran["best"]["objective"] < ran["initial"]["objective"] == 4.0
    resumed = json.loads(evolve("resume", "--steps", "60", "--json"))
    assert resumed["steps"] == {"asked": 60, "done": 60}


def test_an_installed_arm_is_pulled_and_replayed_from_its_record(evolve):
    ran = json.loads(evolve("run", "hello_parabola", "--arm", "hello_doubler", "--steps", "3", "--json"))
    assert ran["best"]["objective"] == 1.0
    assert list(ran["arms"]) == ["hello_doubler"]
    assert json.loads(evolve("replay", "--json")) == {"steps": 3, "differences": []}


def test_groups_without_plugins_are_empty():
    assert installed("evolve.no_such_group") == {}


def test_a_plugin_that_cannot_be_loaded_is_named():
    from importlib.metadata import EntryPoint

    with pytest.raises(TaskError, match=r"plug-in 'broken' of package no\.such\.module cannot be loaded"):
        load(EntryPoint("broken", "no.such.module:thing", "evolve.mutators"))
