"""The process is killed with SIGKILL at arbitrary moments; what comes out is what an uninterrupted run gives."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import PARABOLA, untimed

import evolve

STEPS = 50


def start(where: Path, *words: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "evolve.cli", *words, "--archive", str(where), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def progress(where: Path) -> int:
    """Additions on disk, read as anybody may while the run goes on; -1 before there are any."""
    import sqlite3

    if not where.exists():
        return -1
    try:
        with sqlite3.connect(f"file:{where}?mode=ro", uri=True) as connection:
            found = connection.execute("SELECT count(*) FROM additions").fetchone()[0] - 1
    except sqlite3.OperationalError:
        return -1
    connection.close()
    return int(found)


def wait_until(condition, timeout_s: float = 60.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.002)
    return False


def children_of(pid: int) -> set[int]:
    """Every living descendant of a process."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            fields = stat.rpartition(")")[2].split()
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found: set[int] = set()
    grew = True
    while grew:
        new = {child for child, parent in parents.items() if parent == pid or parent in found} - found
        found |= new
        grew = bool(new)
    return found


@pytest.mark.slow
def test_a_run_killed_again_and_again_loses_and_doubles_nothing(tmp_path):
    reference = untimed(evolve.run(str(PARABOLA), steps=STEPS, seed=1, archive=tmp_path / "whole.db").steps())
    where = tmp_path / "killed.db"
    chance = random.Random(0)
    process = start(where, "run", str(PARABOLA), "--steps", str(STEPS), "--seed", "1")
    kills = 0
    while True:
        target = progress(where) + chance.randint(1, 15)
        moved = wait_until(lambda target=target, process=process: progress(where) >= target or process.poll() is not None)
        assert moved
        time.sleep(chance.random() * 0.01)
        process.kill()
        ended = process.wait()
        process.stderr.close()
        if ended == 0:
            break
        kills += 1
        process = start(where, "resume")
    assert kills >= 3
    with evolve.Archive.open(where) as archive:
        assert archive.find_run(None) == 1
    resumed = evolve.resume(archive=where)
    assert untimed(resumed.steps()) == reference
    assert resumed.summary()["steps"] == {"asked": STEPS, "done": STEPS}


def test_a_killed_controller_leaves_no_process_behind(tmp_path):
    where = tmp_path / "a.db"
    process = start(where, "run", str(PARABOLA), "--steps", "100000", "--workers", "2")
    assert wait_until(lambda: progress(where) >= 5)
    descendants = children_of(process.pid)
    assert descendants
    process.kill()
    process.wait()
    process.stderr.close()
    assert wait_until(lambda: not any(Path(f"/proc/{pid}").exists() and _alive(pid) for pid in descendants), timeout_s=5)


def _alive(pid: int) -> bool:
    try:
        return (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]) != "Z"
    except OSError:
        return False


def test_ctrl_c_stops_cleanly_says_how_to_resume_and_loses_nothing(tmp_path):
    where = tmp_path / "a.db"
    process = start(where, "run", str(PARABOLA), "--steps", "100000")
    assert wait_until(lambda: progress(where) >= 5)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"evolve resume evolve_hello_task" in err or b"evolve resume hello_parabola-1" in err
    with evolve.Archive.open(where) as archive:
        assert archive.find_run(None) == 1
    show = subprocess.run(
        [sys.executable, "-m", "evolve.cli", "show", "--archive", str(where), "--json"], capture_output=True, check=True
    )
    assert json.loads(show.stdout)["status"] == "stopped"


def test_two_sessions_of_one_run_do_not_go_on_at_once(tmp_path):
    where = tmp_path / "a.db"
    process = start(where, "run", str(PARABOLA), "--steps", "100000")
    try:
        assert wait_until(lambda: progress(where) >= 1)
        with pytest.raises(evolve.EvolveError, match=str(process.pid)):
            evolve.resume(archive=where)
    finally:
        process.kill()
        process.communicate()


def test_two_runs_share_an_archive(tmp_path):
    where = tmp_path / "a.db"
    evolve.run(str(PARABOLA), steps=1, archive=where)
    processes = [start(where, "run", str(PARABOLA), "--steps", "40", "--seed", str(seed)) for seed in (5, 6)]
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    with evolve.Archive.open(where) as archive:
        from evolve.archive.summaries import summaries

        assert [item["steps"]["done"] for item in summaries(archive)] == [1, 40, 40]


def test_a_second_ctrl_c_ends_the_run_at_once(tmp_path):
    folder = tmp_path / "slow"
    shutil.copytree(PARABOLA, folder)
    (folder / "initial.py").write_text("# EVOLVE-BLOCK-START\ndef where():\n    return 1.0\n# EVOLVE-BLOCK-END\n")
    (folder / "evaluate.py").write_text(
        "import time\nfrom evolve.evaluators import Score\n"
        "def evaluate(program):\n    x = program.call('where')\n"
        "    time.sleep(0 if x == 1.0 else 600)\n    return Score(float(x))\n"
    )
    where = tmp_path / "a.db"
    process = start(where, "run", str(folder), "--steps", "50")
    assert wait_until(lambda: progress(where) >= 0)
    os.kill(process.pid, signal.SIGINT)
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"interrupted at once; what was recorded is safe" in err
