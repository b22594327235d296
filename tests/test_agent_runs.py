"""Whole runs with a coding agent, played by a script: a real process behind real walls that edits files, and what goes wrong."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PARABOLA

import evolve
from evolve.archive.store import Archive
from evolve.errors import ConfigError
from evolve.llm.agent_sandbox import Level, strongest

SCRIPT = """\
#!{python} -IB
import json, os, pathlib, random, re, sys, time
STATE = pathlib.Path.home() / ".agent"
(STATE / str(time.time_ns())).touch()
number = len(os.listdir(STATE))
prompt = sys.stdin.read()

def improve():
    file = pathlib.Path("initial.py")
    old = float(re.search("return (.*)", file.read_text())[1])
    file.write_text(file.read_text().replace(repr(old), repr(old + (3 - old) * random.uniform(0.3, 0.7))))

words = "I moved it closer."
{deed}
print(json.dumps({{"text": words, "usd": 0.25, "in": 900, "out": 100}}))
"""
PATHS = {"text": "text", "cost_usd": "usd", "input_tokens": ["in"], "output_tokens": ["out"]}
SETTINGS = {
    "agents": {"mine": {"command": ["scripted"], "output": "json", "paths": PATHS, "edits": "folder", "writable": ["~/.agent"]}},
    "calls": {"give_up_s": 0.5, "first_wait_s": 0.01, "max_wait_s": 0.05, "cooldown_s": 0.05},
    "stages": {"patience_s": 1.0},
}

CONFIG = """\
[agents.mine]
command = ["scripted"]
output = "json"
paths = { text = "text", cost_usd = "usd" }
edits = "folder"
writable = ["~/.agent"]
"""


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A user's home with an agent's state and command; what lies in it is visible to agents, unlike the rest of ``/tmp``."""
    for name in ("home/.agent", "home/bin"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'home' / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "home"


def install(home: Path, deed: str = "improve()") -> None:
    script = home / "bin" / "scripted"
    script.write_text(SCRIPT.format(python=os.path.realpath(sys.executable), deed=deed))
    script.chmod(0o755)


def starts(home: Path) -> int:
    return len(list((home / ".agent").iterdir()))


def run_agent(home: Path, spec: str = "agent/mine[call_usd=0.5]", **more) -> evolve.Run:
    options = {"steps": 3, "budget_usd": 10.0, "seed": 3, "arms": [spec], "settings": SETTINGS, **more}
    return evolve.run(str(PARABOLA), archive=home / "a.db", **options)


def call_ends(home: Path) -> list[tuple]:
    with sqlite3.connect(home / "a.db") as connection:
        return connection.execute("SELECT outcome, usd, presumed FROM call_ends ORDER BY step, attempt, number").fetchall()


def test_edits_are_applied_and_what_the_agent_says_it_cost_is_recorded(home):
    install(home)
    run = run_agent(home)
    shown = run.summary()
    assert shown["outcomes"] == {"ok": 3}
    assert shown["best"]["objective"] < 2
    assert (shown["usd"], shown["tokens"]) == (pytest.approx(0.25 * starts(home)), 1000 * starts(home))
    assert list(shown["arms"]) == ["agent/mine[call_usd=0.5]/full"]
    assert {(outcome, usd, presumed) for outcome, usd, presumed in call_ends(home)} == {("ok", 0.25, 0)}


def test_the_record_holds_what_the_agent_was_told_and_said(home):
    install(home)
    run_agent(home, steps=1)
    with Archive.open(home / "a.db") as archive:
        reply = archive.replies(1)[1, 0]
    assert "The program lies in the current folder: initial.py" in reply.prompt
    assert "fenced block" not in reply.prompt
    assert reply.text.startswith("> I moved it closer.\n\n```python\n# EVOLVE-BLOCK-START")


def test_a_replay_needs_no_agent(home):
    install(home)
    run_agent(home)
    before = starts(home)
    shutil.rmtree(home / "bin")
    replayed = evolve.replay(archive=home / "a.db")
    assert (replayed.differences, replayed.steps, starts(home)) == ((), 3, before)


def test_a_cross_over_and_a_repair_are_edits_of_the_folder_too(home):
    install(home)
    shown = run_agent(home, "agent/mine[call_usd=0.5,kinds=full+cross+repair]", steps=6).summary()
    assert shown["outcomes"] == {"ok": 6}
    assert len(shown["arms"]) == 3


def test_a_subscription_costs_nothing_and_needs_no_limit(home):
    install(home)
    assert run_agent(home, "agent/mine[price=0]", budget_usd=0.01).summary()["usd"] == 0


def test_a_budget_without_a_limit_for_each_call_is_refused_before_anything_is_on_disk(home):
    install(home)
    with pytest.raises(ConfigError, match=r"agent/mine\[call_usd=DOLLARS\]"):
        run_agent(home, "agent/mine")
    assert not (home / "a.db").exists()


def test_the_run_stops_where_the_next_call_could_break_the_budget(home):
    install(home)
    run = run_agent(home, steps=9, budget_usd=1.1)
    assert run.summary()["usd"] == 0.75  # a third call has 0.6 left, a fourth 0.35, and could cost 0.5
    assert run.ending.reason.startswith("budget_usd is spent")


def test_an_agent_that_edits_outside_the_markers_changes_only_what_lies_inside(home):
    install(home, "improve(); file = pathlib.Path('initial.py'); file.write_text('import os\\n' + file.read_text())")
    run = run_agent(home, steps=1)
    assert run.summary()["outcomes"] == {"ok": 1}
    assert "import os" not in run.best.files["initial.py"]


def test_an_agent_that_changes_nothing_is_told_and_costs_no_more_than_its_attempts(home):
    install(home, "words = 'again' if 'no file was edited' in prompt else 'Fine as it is.'")
    shown = run_agent(home, steps=1).summary()
    assert shown["outcomes"] == {"edit_failed": 1}
    with Archive.open(home / "a.db") as archive:
        texts = [archive.replies(1)[1, attempt].text for attempt in range(starts(home))]
    assert texts == ["> Fine as it is.\n", *["> again\n"] * (len(texts) - 1)]


@pytest.mark.parametrize("words", ["<think>", "</think>", "```python", "<<<<<<< SEARCH", "### initial.py"])
def test_what_an_agent_says_is_not_taken_for_its_edit(home, words):
    install(home, f"improve(); words = {words!r} + '\\nthat is all\\n' + {words!r}")
    assert run_agent(home, steps=1).summary()["outcomes"] == {"ok": 1}


# What goes wrong


def test_an_agent_that_takes_too_long_is_ended_presumed_paid_and_asked_again(home):
    install(home, "time.sleep(600) if number == 2 else improve()")
    shown = run_agent(home, "agent/mine[call_usd=0.5,timeout_s=1,concurrency=1]", steps=3).summary()
    assert shown["outcomes"] == {"ok": 3}
    ends = call_ends(home)
    assert sorted(outcome for outcome, *_ in ends) == ["ok", "ok", "ok", "timed_out"]
    assert shown["usd"] == pytest.approx(3 * 0.25 + 0.5)
    assert [presumed for outcome, _, presumed in ends if outcome == "timed_out"] == [1]


def test_an_agent_that_prints_garbage_is_asked_again_and_never_ends_in_an_exception(home, caplog):
    install(home, "improve()\nif number == 2: sys.exit(print('Segmentation fault'))")
    shown = run_agent(home, "agent/mine[call_usd=0.5,concurrency=1]").summary()
    assert shown["outcomes"] == {"ok": 3}
    assert sorted(outcome for outcome, *_ in call_ends(home)) == ["malformed", "ok", "ok", "ok"]
    assert "printed no text at 'text', but 'Segmentation fault" in caplog.text


def test_local_arms_go_on_when_an_agent_does_nothing_but_fail(home):
    install(home, "sys.exit('You have hit your usage limit')")
    shown = run_agent(home, steps=30, arms=["agent/mine[call_usd=0.5]", "local"]).summary()
    assert shown["steps"]["done"] == 30
    assert shown["outcomes"]["ok"] > 10
    assert {outcome for outcome, *_ in call_ends(home)} == {"out_of_quota"}
    assert shown["usd"] == 0


def test_that_walls_are_weak_is_said_once_for_a_run(home, caplog, monkeypatch):
    monkeypatch.setattr("evolve.llm.agent.strongest", lambda: (Level.NONE, "this is a test"))
    install(home)
    assert run_agent(home, steps=1).summary()["outcomes"] == {"ok": 1}
    assert caplog.text.count("runs without a sandbox") == 1


def test_an_agent_that_is_not_installed_is_refused_before_anything_is_on_disk(home):
    with pytest.raises(ConfigError, match="'scripted' is not installed"):
        run_agent(home)
    assert not (home / "a.db").exists()


@pytest.mark.skipif(strongest()[0] is not Level.BUBBLEWRAP, reason=strongest()[1])
def test_neither_evaluator_nor_archive_can_be_read(home):
    shutil.copytree(PARABOLA, home / "task")
    (home / "task-notes.md").write_text("seen")
    deed = """
seen = {}
for name in ("task/evaluate.py", "task/task.toml", "a.db", "a.db-wal", "task-notes.md"):
    try:
        seen[name] = (pathlib.Path.home() / name).read_bytes().decode(errors="replace")[:20]
    except OSError as error:
        seen[name] = type(error).__name__
words = json.dumps(seen)
improve()
"""
    install(home, deed)
    evolve.run(
        str(home / "task"),
        archive=home / "a.db",
        steps=1,
        arms=["agent/mine[call_usd=0.5]"],
        budget_usd=1.0,
        settings=SETTINGS,
    )
    with Archive.open(home / "a.db") as archive:
        said = archive.replies(1)[1, 0].text
    assert said.startswith(
        '> {"task/evaluate.py": "FileNotFoundError", "task/task.toml": "FileNotFoundError", '
        '"a.db": "PermissionError", "a.db-wal": "PermissionError", "task-notes.md": "seen"}\n'
    )


def test_a_killed_run_is_taken_up_and_pays_for_what_was_cut_off(home):
    install(home, "time.sleep(0.3); improve()")
    (home / "run.toml").write_text(CONFIG)
    words = ["run", str(PARABOLA), "--steps", "6", "--arm", "agent/mine[call_usd=0.5]", "--budget-usd", "10"]
    words += ["--config", str(home / "run.toml"), "--archive", str(home / "a.db"), "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", "evolve.cli", *words], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while starts(home) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = evolve.resume(archive=home / "a.db").summary()
    assert done["outcomes"] == {"ok": 6}
    with sqlite3.connect(home / "a.db") as connection:
        begun = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
    cut_off = begun - len(call_ends(home))
    assert cut_off >= 1
    assert done["usd"] == pytest.approx(0.25 * len(call_ends(home)) + 0.5 * cut_off)
    assert evolve.replay(archive=home / "a.db").differences == ()


def test_an_agent_of_a_configuration_is_checked_by_its_spec(home, cli, tmp_path):
    install(home, "words = 'ready'")
    (tmp_path / "run.toml").write_text(CONFIG)
    found = cli("models", "check", "agent/mine", "--config", tmp_path / "run.toml", "--json").json
    assert (found["ok"], found["answer"], found["usd"]) == (True, "ready", 0.25)
    assert "there is no such agent" in cli("models", "check", "agent/mine", status=2).err
