"""The watchers see what there is to see: an attack that nothing stops is noticed."""

import asyncio
import ctypes
import dataclasses
import os
import re
import socket
from pathlib import Path

import pytest
from conftest import PARABOLA

from evolve.errors import TaskError
from evolve.program import Isolation, Outcome
from evolve.tasks.base import load
from evolve.testing.hostile.__main__ import main
from evolve.testing.hostile.canaries import Canaries
from evolve.testing.hostile.programs import PROGRAMS, THEMES
from evolve.testing.hostile.record import SHORT_S, STRONG_ONLY, Hostile, Sign
from evolve.testing.hostile.runner import Observation, ProvingGround, try_all
from evolve.testing.hostile.wrapping import GOT, wrapped

NAMED = {program.name: program for program in PROGRAMS}
#: One for each sign that can be seen at level process by an ordinary user as well.
OPEN = {
    "archive": Sign.LEAK,
    "others' environment": Sign.LEAK,
    "altered archive": Sign.CHANGE,
    "deleted archive": Sign.CHANGE,
    "file outside": Sign.CHANGE,
    "cache in shared folders": Sign.CHANGE,
    "TCP": Sign.CONTACT,
    "UDP": Sign.CONTACT,
    "unix socket by path": Sign.CONTACT,
    "abstract unix socket": Sign.CONTACT,
    "kills another": Sign.HARM,
    "stops another": Sign.HARM,
    "disk filler": Sign.REPORT,
}


@pytest.fixture
def canaries():
    with Canaries() as canaries:
        yield canaries


def test_names_are_unique_and_every_program_says_what_it_tries():
    assert len(NAMED) == len(PROGRAMS)
    assert all(program.tries[0].isupper() and program.tries.endswith(".") for program in PROGRAMS)


def test_what_nothing_stops_is_seen():
    programs = tuple(NAMED[name] for name in OPEN)
    observations = try_all(load(PARABOLA, "folder"), Isolation.PROCESS, programs)
    assert {one.name: OPEN[one.name] for one in observations if OPEN[one.name] in dict(one.signs)} == OPEN
    assert {one.verdict for one in observations} == {"open"}


def test_a_claim_that_does_not_hold_is_a_failure():
    program = dataclasses.replace(NAMED["archive"], claims=frozenset(Isolation))
    [observation] = try_all(load(PARABOLA, "folder"), Isolation.PROCESS, (program,))
    assert observation.failed
    assert observation.verdict == "FAILED"


def test_an_evaluation_that_ends_otherwise_than_it_should_is_a_failure():
    program = Hostile("x", "It ends.", "os._exit(0)")
    [observation] = try_all(load(PARABOLA, "folder"), Isolation.PROCESS, (program,))
    assert [sign for sign, _ in observation.signs] == [Sign.OUTCOME]
    assert observation.failed


def test_a_better_score_is_a_failure_at_every_level():
    program = Hostile("x", "It answers well.", "def lie(answer):\n    return 3.0\n", claims=frozenset())
    [observation] = try_all(load(PARABOLA, "folder"), Isolation.PROCESS, (program,))
    assert "better than the honest" in observation.seen
    assert observation.failed


def test_an_attack_that_is_stopped_leaves_the_honest_score():
    program = Hostile("x", "It is refused.", "def attack():\n    raise OSError\n")
    [observation] = try_all(load(PARABOLA, "folder"), Isolation.PROCESS, (program,))
    assert observation.stopped
    assert (observation.outcome, observation.objective) == (Outcome.OK, observation.honest)


def test_a_program_that_must_meet_another_limit_first_has_the_time_for_it():
    spin = "import time\nwhile time.process_time() < 1.0:\n    pass\n"
    short = Hostile("x", "It uses a CPU second.", spin)
    patient = dataclasses.replace(short, name="y", timeout_s=10.0)
    observations = try_all(load(PARABOLA, "folder"), Isolation.PROCESS, (short, patient))
    assert [one.outcome for one in observations] == [Outcome.TIMED_OUT, Outcome.OK]
    assert [one.failed for one in observations] == [True, False]


def test_programs_that_take_memory_are_stopped_by_its_limit_alone():
    takers = [program for program in PROGRAMS if program.timeout_s > SHORT_S]
    assert {program.name for program in takers} >= {"memory of one process", "memory of many processes", "mapped memory"}
    assert not any(Outcome.TIMED_OUT in program.ends for program in takers)


def test_what_would_harm_the_machine_is_not_run():
    async def run() -> None:
        async with ProvingGround(load(PARABOLA, "folder"), Isolation.PROCESS) as ground:
            await ground.run(NAMED["kills all"])

    with pytest.raises(ValueError, match="not run below level strong"):
        asyncio.run(run())


def test_claims_for_landlock_hold_from_a_version_on():
    program = Hostile("x", "It connects.", "", landlock=4)
    assert program.claimed(Isolation.LANDLOCK, 4)
    assert not program.claimed(Isolation.LANDLOCK, 3)
    assert program.claimed(Isolation.STRONG, 0)
    assert not dataclasses.replace(program, claims=STRONG_ONLY).claimed(Isolation.LANDLOCK, 9)


def test_a_level_that_is_not_said_to_stop_it_does_not_fail():
    signs = ((Sign.LEAK, "a secret"),)
    seen = Observation("x", Isolation.PROCESS, "It reads.", Outcome.OK, 1.0, 1.0, signs, False, 0.1)
    assert not seen.stopped
    assert not seen.failed
    assert dataclasses.replace(seen, claimed=True).failed
    assert dataclasses.replace(seen, signs=((Sign.REMAINS, "1 processes"),)).failed


def test_nothing_is_seen_where_nothing_happened(canaries):
    assert canaries.signs("") == {}
    assert canaries.processes() == []


def test_a_process_that_is_left_is_found_by_its_name(canaries):
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(15, canaries.token.encode(), 0, 0, 0)
        os.read(os.pipe()[0], 1)
        os._exit(0)
    try:
        while Path(f"/proc/{pid}/comm").read_text().strip() != canaries.token:
            os.sched_yield()
        assert canaries.processes() == [pid]
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_what_was_changed_is_mended(canaries):
    path = Path(canaries.facts()["FILE"])
    path.write_text("mine")
    assert canaries.signs("") == {Sign.CHANGE: "evolve.db was altered"}
    assert canaries.signs("") == {}


def test_every_socket_hears(canaries):
    facts = canaries.facts()
    socket.create_connection(("127.0.0.1", int(facts["TCP"]))).close()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", facts["UNIX"])
    assert canaries.signs("") == {Sign.CONTACT: "TCP, UNIX"}


def test_nothing_of_the_canaries_stays():
    with Canaries() as canaries:
        facts = canaries.facts()
    assert not Path(facts["FOLDER"]).exists()
    assert not Path("/proc", facts["PID"]).exists()
    assert facts["VARIABLE"] not in os.environ


def test_imports_from_the_future_stay_first():
    honest = '"""A program."""\nfrom __future__ import annotations\n\ndef f(x: int) -> int:\n    return x + 1\n'
    names = {"__name__": "m"}
    exec(wrapped({"initial.py": honest}, "def lie(answer):\n    return -answer\n", {"TOKEN": "x"})["initial.py"], names)
    assert names["f"](1) == -2


def test_only_the_outermost_call_lies():
    honest = "def g():\n    return 1\n\ndef f():\n    return g() + 1\n"
    names = {"__name__": "m"}
    exec(wrapped({"initial.py": honest}, "def lie(answer):\n    return [answer]\n", {"TOKEN": "x"})["initial.py"], names)
    assert names["f"]() == [2]


def test_evidence_is_the_programs_last_word():
    source = wrapped({"initial.py": ""}, "def attack():\n    return 'a secret'\n", {"TOKEN": "x"})["initial.py"]
    assert GOT not in source
    with pytest.raises(SystemExit, match=f"{GOT}a secret"):
        exec(source, {})


def test_programs_of_other_languages_are_refused():
    with pytest.raises(TaskError, match=r"written in Python, and main\.cpp is not"):
        wrapped({"main.cpp": ""}, "", {})


def test_the_command_prints_a_table(capsys):
    assert main([str(PARABOLA), "--isolation", "process", "--program", "archive", "--program", "exit"]) == 0
    printed = capsys.readouterr().out
    assert "1 stopped, 1 went through as the level allows, 0 FAILED" in printed


def test_the_command_names_a_program_that_does_not_exist(capsys):
    assert main([str(PARABOLA), "--program", "nothing like it"]) == 2
    assert "no hostile program is called 'nothing like it'" in capsys.readouterr().err


def test_the_documents_table_is_that_of_the_programs():
    text = (Path(__file__).parents[2] / "docs" / "hostile-suite.md").read_text()
    documented = re.findall(r"^\| ([^|]+) \| ([^|]+) \| (\w*) \| (\w*) \| (\w*) \|", text, re.MULTILINE)
    expected = []
    for programs in THEMES.values():
        for program in programs:
            cells = [
                "stopped" if level in program.claims else "" if level.rank >= program.least.rank else "skipped"
                for level in Isolation
            ]
            expected.append((program.name, program.tries, *cells))
    assert documented[-len(expected) :] == expected
