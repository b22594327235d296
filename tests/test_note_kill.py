"""A run is killed with SIGKILL while a model writes a note on it; taken up, it owes the note once and pays nothing twice."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
from conftest import PARABOLA
from model_kit import improver

import evolve
from evolve.archive.records import COUNTED
from evolve.archive.store import Archive
from evolve.testing.model_server import Answer, ModelServer

STEPS = 14
EVERY = 4
#: Longest time that a killed or finished process is waited for.
PATIENCE_S = 60.0


def is_note(asked):
    return "Write notes for those models" in asked.messages[0].text


class Script:
    """Answers steps, and notes once they are let go; nothing is ever answered that a process was killed over."""

    def __init__(self):
        self.never = threading.Event()
        self.holding = True

    def __call__(self, asked):
        held = self.never if self.holding and is_note(asked) else None
        return Answer("- Halve the distance.\n" if is_note(asked) else improver(asked).text, before=held)


def start(*words):
    command = [sys.executable, "-m", "evolve.cli", *map(str, words), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run_words(server, where, steps):
    arm, noter = (f"openai/{name}[kinds=full,price=1/10]@{server.url}" for name in ("scripted", "noter"))
    settings = [f"insight.every={EVERY}", f'insight.model="{noter}"']
    words = ["run", PARABOLA, "--steps", steps, "--seed", 3, "--arm", arm, "--budget-usd", 5, "--archive", where]
    return [*words, *(word for setting in settings for word in ("--set", setting))]


def wait_until(holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def asked_notes(server):
    return sum(map(is_note, server.asked))


def additions(where):
    """Additions on disk, read as anybody may while the run goes on."""
    return rows(where, "SELECT count(*) FROM additions")[0][0]


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(PATIENCE_S) == -signal.SIGKILL


def rows(where, query):
    with sqlite3.connect(where) as connection:
        return connection.execute(query).fetchall()


def check(where, server, lost):
    """Checks that everything is there once, and that no call was made twice but those that were lost."""
    with Archive.open(where) as archive:
        notes, replies = archive.notes(1), archive.replies(1)
    [(asked_for,)] = rows(where, "SELECT count(*) FROM calls")
    [(answered,)] = rows(where, "SELECT count(*) FROM call_ends")
    assert asked_for == len(server.asked)
    assert asked_for - answered == lost
    written = [note for note in notes if note.source != COUNTED]
    assert answered == len(replies) + len(written)
    # A kill costs what the lost calls had reserved, which may have been charged, and nothing else is counted for them.
    [(paid,)] = rows(where, "SELECT sum(usd) FROM call_ends")
    [(presumed,)] = rows(
        where,
        "SELECT coalesce(sum(reserved_usd), 0) FROM calls WHERE NOT EXISTS (SELECT 1 FROM call_ends WHERE call_ends.run = "
        "calls.run AND call_ends.step = calls.step AND call_ends.attempt = calls.attempt AND call_ends.number = calls.number)",
    )
    made = evolve.resume(archive=where)
    shown = made.summary()
    assert shown["usd"] == pytest.approx(paid + presumed)
    assert shown["steps"] == {"asked": STEPS, "done": STEPS}
    assert [step["step"] for step in made.steps()] == list(range(STEPS + 1))
    assert len(server.asked) == asked_for
    assert evolve.replay(archive=where).differences == ()
    return notes


def test_a_run_killed_when_only_a_note_was_missing_has_it_once_and_asks_for_no_step_again(tmp_path):
    where, script = tmp_path / "a.db", Script()
    with ModelServer(script) as server:
        process = start(*run_words(server, where, EVERY + 1))
        # All steps are on disk, and the run waits for its note alone.
        wait_until(lambda: server.in_flight == 1 and additions(where) == EVERY + 2)
        kill(process)
        script.holding = False
        assert start("resume", "--steps", STEPS, "--archive", where).wait(PATIENCE_S) == 0
        notes = check(where, server, lost=1)
    # What was owed is what was counted, of everything that was there when the run was taken up; later ones are the model's.
    assert notes[0].source == COUNTED
    assert {note.source for note in notes[1:]} == {"openai/noter"}
    assert EVERY <= notes[0].about <= EVERY + 1
    assert f"Of {notes[0].about} steps" in notes[0].text
    assert notes[1].text == "- Halve the distance."


@pytest.mark.slow
def test_a_run_killed_over_every_note_that_it_asks_for_ends_with_all_steps(tmp_path):
    where, script = tmp_path / "a.db", Script()
    with ModelServer(script) as server:
        words, kills = run_words(server, where, STEPS), 0
        while True:
            process = start(*words)
            wait_until(lambda process=process, kills=kills: asked_notes(server) > kills or process.poll() is not None)
            if process.poll() is not None:
                break
            kill(process)
            kills += 1
            words = ["resume", "--archive", where]
        assert process.returncode == 0
        [(lost,)] = rows(where, "SELECT (SELECT count(*) FROM calls) - (SELECT count(*) FROM call_ends)")
        notes = check(where, server, lost=lost)
    assert {note.source for note in notes} == {COUNTED}
    assert len({note.about for note in notes}) == len(notes) == kills
    assert kills >= 2
