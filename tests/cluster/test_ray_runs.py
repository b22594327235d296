"""Whole runs on clusters: the same archive as on one machine, whatever is killed meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import PARABOLA, untimed
from ray_kit import wait_until

import evolve
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.evaluators.sandbox import tree

pytestmark = pytest.mark.cluster

STEPS = 40


def command(where: Path, executor: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "evolve.cli", *words, "--archive", str(where), "--executor", executor]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The rows of a run on this machine."""
    run = evolve.run(str(PARABOLA), steps=STEPS, seed=3, workers=2, archive=tmp_path_factory.mktemp("reference") / "a.db")
    return untimed(run.steps())


def additions(where: Path) -> int:
    """Steps on disk, while another process writes them."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{where}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM additions WHERE step > 0").fetchone()[0])
    except sqlite3.OperationalError:
        return 0  # nothing there yet


@pytest.mark.parametrize("way", ["address", "client_address"])
def test_a_strict_run_gives_the_archive_that_it_gives_on_one_machine(tmp_path, request, reference, way):
    run = evolve.run(str(PARABOLA), steps=STEPS, seed=3, executor=request.getfixturevalue(way), archive=tmp_path / "a.db")
    assert untimed(run.steps()) == reference
    shown = run.summary()
    assert {host["isolation"] for host in shown["hosts"]} == {shown["isolation"]}
    assert sum(host["evaluated"] for host in shown["hosts"]) == shown["evaluated"] + 1
    assert evolve.replay(archive=tmp_path / "a.db", executor="local").differences == ()


def test_a_run_begun_here_goes_on_on_a_cluster(tmp_path, cluster, reference):
    evolve.run(str(PARABOLA), steps=STEPS // 2, seed=3, archive=tmp_path / "a.db")
    assert untimed(evolve.resume(steps=STEPS, executor=cluster.address, archive=tmp_path / "a.db").steps()) == reference


def test_a_run_whose_controller_is_killed_again_and_again_loses_and_doubles_nothing(tmp_path, cluster, reference):
    where, chance, kills = tmp_path / "a.db", random.Random(0), 0
    words = ["run", str(PARABOLA), "--steps", str(STEPS), "--seed", "3"]
    while True:
        target = additions(where) + chance.randint(2, 9)
        process = subprocess.Popen(command(where, cluster.address, *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda target=target, process=process: additions(where) >= target or process.poll() is not None)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        words = ["resume"]
    assert process.returncode == 0
    assert kills >= 2
    with Archive.open(where) as archive:
        assert untimed(evolve.Run(str(where), 1).steps()) == reference
        assert summary(archive, 1)["status"] == "finished"


def test_a_run_whose_workers_and_driver_are_killed_all_the_time_gives_the_same_archive(tmp_path, cluster, reference):
    over = threading.Event()
    killed = []

    def kill():
        chance = random.Random(0)
        while not over.wait(0.7):
            drivers = [pid for pid in tree.usage_below(os.getpid()).pids if _is_driver(pid)]
            workers = [pid for node in cluster.nodes for pid in node.workers]
            # Rarely the driver: every time costs two seconds.
            victims = drivers if chance.random() < 0.2 else workers
            if victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(victims), signal.SIGKILL)
                    killed.append(victims is drivers)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        run = evolve.run(str(PARABOLA), steps=STEPS, seed=3, executor=cluster.address, archive=tmp_path / "a.db")
    finally:
        over.set()
        killer.join()
    assert untimed(run.steps()) == reference
    assert len(killed) >= 3


def test_a_cluster_of_this_machine_is_started_for_a_run_and_ended_with_it(tmp_path, reference):
    where = tmp_path / "a.db"
    words = ["run", str(PARABOLA), "--steps", str(STEPS), "--seed", "3", "--json", "--quiet"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = kept | {"HOME": str(tmp_path)}
    done = subprocess.run(command(where, "ray", *words), check=False, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert (shown["steps"]["done"], len(shown["hosts"])) == (STEPS, 1)
    assert untimed(evolve.Run(str(where), 1).steps()) == reference
    time.sleep(1.0)  # Ray's agents look for their parent once a second
    assert not [pid for pid in _processes() if str(tmp_path) in _environment(pid)]


def test_a_cluster_that_is_not_there_is_said_so(tmp_path, cluster):
    done = subprocess.run(
        command(tmp_path / "a.db", "127.0.0.1:1", "run", str(PARABOLA), "--steps", "2"),
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "ray start --address=127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_token_is_said_so(tmp_path, cluster):
    environment = dict(os.environ) | {"RAY_AUTH_TOKEN": "0" * 32}
    del environment["RAY_AUTH_TOKEN_PATH"]
    done = subprocess.run(
        command(tmp_path / "a.db", cluster.address, "run", str(PARABOLA), "--steps", "2"),
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        timeout=170,
    )
    assert done.returncode == 1
    assert "RAY_AUTH_TOKEN" in done.stderr
    assert "0" * 32 not in done.stderr


def _is_driver(pid: int) -> bool:
    try:
        return b"evolve.executors.cluster.driver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""
