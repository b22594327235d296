"""Writers that die at arbitrary moments: what they committed is there, whole, and the run can be taken up at once."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from archive_kit import INITIAL, child_of, new_run, ok

from evolve.archive.records import Verdict
from evolve.archive.store import Archive

WRITE = """
import sys
from archive_kit import begin, ok, write_step
from evolve.archive.store import Archive
archive = Archive.open(sys.argv[1])
settled, pending = archive.history(1)
with archive.writer(1) as writer:
    if not settled:
        begin(writer)
    step = max([0, *(item.addition.step for item in settled), *(item.plan.step for item in pending)])
    version = max(0, len(settled) - 1)
    print("ready", flush=True)
    while True:
        step, version = step + 1, version + 1
        write_step(writer, step, ok(float(step), feedback="fine " * 20), version=version)
        print(step, flush=True)
"""


def write_and_die(where: str, seen: int) -> int:
    """Lets a process write until it has reported some steps, kills it, and returns the last step it reported."""
    process = subprocess.Popen([sys.executable, "-c", WRITE, where], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
    assert process.stdout.readline() == "ready\n"
    reported = [int(process.stdout.readline()) for _ in range(seen)]
    process.kill()
    rest, _ = process.communicate()
    # The pipe's last line may itself be cut.
    return max([*reported, *(int(line) for line in rest.split("\n")[:-1])], default=0)


def check(where: str, reported: int) -> None:
    if "://" not in where:  # a server does not check itself on request
        connection = sqlite3.connect(where)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        connection.close()
    with Archive.open(where) as archive:
        settled, pending = archive.history(1)
        assert [item.addition.version for item in settled] == list(range(len(settled)))
        if reported:
            assert reported in {item.addition.step for item in settled}
        for item in settled[1:]:
            program = child_of(INITIAL, item.addition.step)
            assert item.addition.program == program.program_id
            assert archive.program(1, program.program_id) == (program, ok(float(program.step), feedback="fine " * 20))
        for open_step in pending:
            # Screen and program are committed together, evaluation and addition too.
            assert (open_step.program is not None) == (Verdict.NEW in {screen.verdict for screen in open_step.screens.values()})
            assert open_step.program is None or open_step.replies
            assert open_step.evaluation is None
        assert archive.session(1).status == "stopped"


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_whole_records(where):
    with Archive.open(where, create=True) as archive:
        archive.create_run(new_run())
    rng = np.random.default_rng(0)
    for _ in range(8):
        check(where, write_and_die(where, int(rng.integers(0, 60))))


def test_a_writer_killed_once_leaves_whole_records(where):
    with Archive.open(where, create=True) as archive:
        archive.create_run(new_run())
    check(where, write_and_die(where, 20))


CREATE = """
import sys
from archive_kit import new_run
from evolve.archive.store import Archive
input()
with Archive.open(sys.argv[1], create=True) as archive:
    print(archive.create_run(new_run()))
"""


def test_processes_that_make_one_archive_at_once_get_a_run_each(where):
    command = [sys.executable, "-c", CREATE, where]
    makers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent)
        for _ in range(4)
    ]
    for maker in makers:
        maker.stdin.write("\n")
        maker.stdin.flush()
    answers = sorted(maker.communicate()[0] for maker in makers)
    assert answers == ["1\n", "2\n", "3\n", "4\n"]
