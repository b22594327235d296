"""Whole runs whose archive is a database of a PostgreSQL server: the same runs, killed, raced and read while they are written."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import PARABOLA, untimed

import evolve
from evolve.archive.connect import locate
from evolve.archive.summaries import summaries
from evolve.errors import ArchiveError

TASK = str(PARABOLA)


def start(url: str, *words: str, **environment: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "evolve.cli", *words, "--archive", url]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.PIPE, env={**os.environ, **environment}
    )


def finished(process: subprocess.Popen[bytes]) -> bytes:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err.decode()
    return out


def additions(postgres, url: str) -> int:
    """Steps that are finished; -1 before there are tables."""
    database = locate(url).url.database
    if not postgres.sql("SELECT 1 FROM pg_tables WHERE tablename = 'additions'", database):
        return -1
    return postgres.sql("SELECT count(*) FROM additions WHERE step > 0", database)[0][0]


def wait_for(postgres, url: str, steps: int) -> None:
    deadline = time.monotonic() + 60
    while additions(postgres, url) < steps:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_strict_run_gives_the_rows_that_it_gives_in_a_file_and_repeats(tmp_path, postgres_url):
    of_file = evolve.run(TASK, steps=30, seed=1, archive=tmp_path / "a.db")
    of_server = evolve.run(TASK, steps=30, seed=1, archive=postgres_url)
    assert untimed(of_server.steps()) == untimed(of_file.steps())
    replayed = evolve.replay(archive=postgres_url)
    assert (replayed.steps, list(replayed.differences)) == (30, [])
    shown, expected = of_server.summary(), of_file.summary()
    # Databases add up in different orders.
    rewards, expected_rewards = ([arm.pop("reward") for arm in item["arms"].values()] for item in (shown, expected))
    assert rewards == pytest.approx(expected_rewards, rel=1e-12)
    assert {**shown, "seconds": 0} == {**expected, "seconds": 0}


def test_a_run_that_is_killed_again_and_again_is_the_one_that_was_not(tmp_path, postgres, postgres_url):
    whole = evolve.run(TASK, steps=20, seed=1, archive=tmp_path / "whole.db")
    words = ["run", TASK, "--steps", "20", "--seed", "1", "--quiet"]
    for target in (3, 12):
        process = start(postgres_url, *words)
        wait_for(postgres, postgres_url, target)
        process.kill()
        process.communicate()
        words = ["resume", "--quiet"]
    resumed = evolve.resume(archive=postgres_url)
    assert untimed(resumed.steps()) == untimed(whole.steps())
    with evolve.Archive.open(postgres_url) as archive:
        assert archive.run_numbers() == [1]


def test_a_server_that_stops_in_mid_run_ends_it_with_one_message_and_it_can_be_resumed(tmp_path, postgres, postgres_url):
    whole = evolve.run(TASK, steps=40, seed=1, archive=tmp_path / "whole.db")
    process = start(postgres_url, "run", TASK, "--steps", "40", "--seed", "1", "--quiet")
    wait_for(postgres, postgres_url, 5)
    postgres.stop()
    _, err = process.communicate(timeout=60)
    postgres.start()
    assert process.returncode == 1
    (message,) = [line for line in err.decode().splitlines() if line.startswith("error:")]
    # Which of them depends on what it wanted of the server at that moment.
    told = ("lost its connection to the database server", "no database server answers there", "its server is starting, stopping")
    assert any(text in message for text in told), message
    assert "`evolve resume`" in message
    assert "Traceback" not in err.decode()
    resumed = evolve.resume(archive=postgres_url)
    assert untimed(resumed.steps()) == untimed(whole.steps())


READ = """
import sys
from evolve.archive.queries import steps
from evolve.archive.store import Archive
from evolve.archive.summaries import summaries
seen, reads = 0, 0
while seen < 61:
    with Archive.open(sys.argv[1]) as archive:
        shown = summaries(archive)
        for item in shown:
            rows = list(steps(archive, item["run"]))
            versions = sorted(row["version"] for row in rows)
            assert versions == list(range(len(versions))), versions
            assert len([row for row in rows if row["step"] > 0]) >= item["steps"]["done"]
        seen = sum(item["steps"]["done"] for item in shown)
        reads += 1
print(reads)
"""


def test_three_runs_write_at_once_while_another_process_reads_all_the_time(postgres_url):
    evolve.run(TASK, steps=1, archive=postgres_url)
    reader = subprocess.Popen([sys.executable, "-c", READ, postgres_url], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # Two of them make the same texts at the same time.
    seeds = ("5", "5", "6")
    runs = [start(postgres_url, "run", TASK, "--steps", "20", "--seed", seed, "--workers", "1", "--json") for seed in seeds]
    shown = [json.loads(finished(process)) for process in runs]
    assert int(finished(reader)) > 3
    assert sorted(item["run"] for item in shown) == [2, 3, 4]
    assert all(item["status"] == "finished" and item["steps"] == {"asked": 20, "done": 20} for item in shown)
    assert shown[0]["best"]["objective"] == shown[1]["best"]["objective"]


def test_of_two_processes_that_take_over_a_dead_run_one_gets_it(postgres, postgres_url):
    process = start(postgres_url, "run", TASK, "--steps", "40", "--quiet")
    wait_for(postgres, postgres_url, 2)
    process.kill()
    process.communicate()
    racers = [start(postgres_url, "resume", "--steps", "400", "--quiet") for _ in range(2)]
    first = next_to_end(racers)
    _, err = first.communicate()
    (second,) = [racer for racer in racers if racer is not first]
    assert first.returncode == 1
    assert f"is being written by process {second.pid}" in err.decode()
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=60)
    assert second.returncode == 130


def next_to_end(processes: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                return process
        time.sleep(0.01)
    raise AssertionError("none has ended")


def test_processes_that_begin_runs_in_one_empty_database_at_once_all_do(postgres_url):
    runs = [start(postgres_url, "run", TASK, "--steps", "1", "--json", "--quiet") for _ in range(2)]
    assert sorted(json.loads(finished(process))["run"] for process in runs) == [1, 2]


# What the command line shows


@pytest.fixture
def secret(postgres, postgres_url):
    """The database of a user with a password."""
    database = locate(postgres_url).url.database
    postgres.sql("CREATE ROLE teller LOGIN PASSWORD 'wonder-word'; GRANT ALL ON SCHEMA public TO teller", database)
    yield postgres.url(database, "teller:wonder-word")
    postgres.sql("DROP OWNED BY teller", database)
    postgres.sql("DROP ROLE teller")


def test_a_password_is_neither_shown_nor_recorded(cli, secret, postgres):
    ran = cli("run", TASK, "--steps", 2, "--archive", secret)
    assert f"--archive {secret.replace(':wonder-word', '')}" in ran.out
    answers = [ran, cli("show", "--json", "--archive", secret), cli("best", "--archive", secret, "--output", "taken")]
    answers += [cli("doctor", "--archive", secret), cli("doctor", "--json", "--archive", secret)]
    answers += [cli("show", "nix", "--archive", secret, status=2), cli("runs", "--archive", secret + "x", status=1)]
    for answer in answers:
        assert "wonder" not in answer.out + answer.err
    with evolve.Archive.open(secret) as archive:
        record = archive.run_record(1)
        assert "wonder" not in json.dumps([record.command, dict(record.config), dict(record.versions), record.name])
        assert [item["status"] for item in summaries(archive)] == ["finished"]


def test_what_comes_next_needs_no_archive_that_the_environment_names(cli, postgres_url, monkeypatch):
    monkeypatch.setenv("EVOLVE_ARCHIVE", postgres_url)
    ran = cli("run", TASK, "--steps", 1)
    assert "next:" in ran.out
    assert "--archive" not in ran.out


def archive_finding(cli, url: str, status: int) -> dict[str, object]:
    return next(item for item in cli("doctor", "--json", "--archive", url, status=status).json if item["what"] == "archive")


def test_doctor_says_what_is_the_matter_with_a_database(cli, postgres, postgres_url):
    empty = archive_finding(cli, postgres_url, 0)
    assert (empty["ok"], "is empty; `evolve run TASK" in empty["detail"]) == (True, True)
    missing = archive_finding(cli, postgres.url("nix"), 1)
    assert (missing["ok"], "createdb" in missing["detail"]) == (False, True)
    evolve.run(TASK, steps=1, archive=postgres_url)
    assert archive_finding(cli, postgres_url, 0)["detail"] == f"{postgres_url}, 1 run(s)"


def test_advice_reaches_a_run_from_another_process(cli, postgres_url):
    evolve.run(TASK, steps=1, archive=postgres_url)
    cli("steer", 1, "try zero", "--archive", postgres_url)
    with evolve.Archive.open(postgres_url) as archive, archive.writer(1) as writer:
        assert writer.advice() == ("try zero",)
        with pytest.raises(ArchiveError, match="this very process"):
            archive.writer(1)
