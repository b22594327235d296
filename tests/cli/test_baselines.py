import os
import signal
import subprocess
import sys
import time

import pytest

MANIFEST = """
name = "noisy"
program = ["initial.py"]
[objective]
metric = "score"
[[baselines]]
name = "one"
path = "baselines/one.py"
[[baselines]]
name = "two"
path = "baselines/two.py"
"""
EVALUATE = """
import random, time
from evolve.evaluators import Score

def evaluate(program):
    return Score(program.call("answer"))

def paired(program, seed):
    time.sleep(0.05)
    return Score(program.call("answer") + random.Random(seed).random(), artifacts={"note.txt": note})

def note(path):
    open(path, "w").write("noted")
"""


@pytest.fixture
def task(tmp_path):
    folder = tmp_path / "task"
    (folder / "baselines").mkdir(parents=True)
    (folder / "task.toml").write_text(MANIFEST)
    (folder / "evaluate.py").write_text(EVALUATE)
    for place, value in (("initial", 0.0), ("baselines/one", 1.0), ("baselines/two", 2.0)):
        (folder / f"{place}.py").write_text(f"def answer():\n    return {value}\n")
    return folder


def lines(folder):
    path = folder / "results.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def test_baselines_are_measured_and_reported(cli, task, tmp_path):
    answer = cli("task", "baselines", task, "--seeds", 3, "--first-seed", 5, "--artifacts", "--json")
    one, two = answer.json
    assert (one["name"], one["seeds"], one["source"]) == ("one", [5, 6, 7], str(task / "baselines" / "one.py"))
    assert two["difference"]["mean"] == pytest.approx(1.0)
    assert "two, seed 7: " in answer.err
    assert "6/6" in answer.err
    folder = tmp_path / "baselines-noisy"
    assert {"results.jsonl", "baselines.md", "baselines.png", "one", "two"} == {path.name for path in folder.iterdir()}
    assert (folder / "one" / "note.txt").read_text() == "noted"
    again = cli("task", "baselines", task, "--seeds", 3, "--first-seed", 5)
    assert again.err == ""
    assert lines(folder) == 6
    assert "difference to one" in again.out
    assert "written: baselines-noisy/baselines.md" in again.out


def test_metrics_that_the_task_names_are_printed_with_every_baseline(cli, task):
    manifest = task / "task.toml"
    manifest.write_text(manifest.read_text() + '\n[baselines_table]\nmetrics = ["size", "other"]\n')
    evaluator = task / "evaluate.py"
    text = evaluator.read_text()
    evaluator.write_text(text.replace("artifacts=", 'metrics={"size": 3.0 * program.call("answer")}, artifacts='))
    assert evaluator.read_text() != text
    answer = cli("task", "baselines", task, "--seeds", 2, "--quiet")
    heading = next(line for line in answer.out.splitlines() if "size" in line and "other" in line)
    assert heading.split() == ["baseline", "size", "other"]
    rows = [line.split() for line in answer.out.split(heading)[1].splitlines() if line.split()[:1] in (["one"], ["two"])]
    # No score has a metric of the other name.
    assert rows == [["one", "3", "–"], ["two", "6", "–"]]


def test_a_baseline_that_changed_is_measured_again_and_that_is_told(cli, task, tmp_path):
    cli("task", "baselines", task, "--seeds", 2, "-o", "out", "--quiet")
    (task / "baselines" / "two.py").write_text("def answer():\n    return 1 / 0\n")
    answer = cli("task", "baselines", task, "--seeds", 2, "-o", "out")
    assert "warning: 2 measurements of two do not count" in answer.err
    assert "crashed with 2 of 2 seeds: an exception in answer: ZeroDivisionError" in answer.out
    assert lines(tmp_path / "out") == 6


def test_a_task_without_baselines_says_how_to_add_them(cli, parabola):
    assert "[[baselines]]" in cli("task", "baselines", parabola, status=2).err
    assert cli("task", "baselines", parabola, "--only", "x", status=2).err.startswith("error: task")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_command_that_was_ended_goes_on_where_it_was(cli, task, tmp_path, how):
    out = tmp_path / "out"
    words = [sys.executable, "-m", "evolve.cli", "task", "baselines", str(task), "--seeds", "40", "--workers", "1", "-o", str(out)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    give_up_at = time.monotonic() + 60
    while lines(out) < 3 and time.monotonic() < give_up_at and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, how)
    _, told = process.communicate(timeout=60)
    done = lines(out)
    assert 3 <= done < 80
    assert process.returncode == (130 if how is signal.SIGINT else -how)
    assert ("interrupted; nothing is lost" in told) == (how is signal.SIGINT)
    answer = cli("task", "baselines", task, "--seeds", 3, "--workers", 1, "-o", out, "--json")
    assert [row["failed"] for row in answer.json] == [0, 0]
    assert lines(out) == max(done, 6)
