import subprocess
import sys
import time

import pytest

from evolve.evaluators.base import ProgramFailed
from evolve.evaluators.sandbox import available_levels
from evolve.evaluators.sandbox.cgroup import _V2, MemoryGroup
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Isolation, Limits, Outcome

STRONG = available_levels()[-1]


@pytest.fixture
def group():
    group = MemoryGroup.make(8)
    if group is None:
        pytest.skip("this process may not make a control group that counts memory")
    yield group
    group.remove()


def test_a_process_that_takes_more_than_its_group_may_is_killed_and_counted(group):
    source = "import sys\nsys.stdin.read()\nx = bytearray(200 * 2**20)"
    with subprocess.Popen([sys.executable, "-S", "-c", source], stdin=subprocess.PIPE) as process:
        assert group.take(process.pid)
        process.communicate()
    assert process.returncode == -9
    assert group.kills() == 1


def test_a_removed_group_is_gone_and_counts_nothing(group):
    group.remove()
    assert not group._path.exists()
    assert group.kills() == 0


def test_a_group_of_a_killed_process_is_removed_by_the_next(group):
    stale = group._path.with_name("evolve-4999999-0")
    stale.mkdir()
    MemoryGroup.make(8).remove()
    assert not stale.exists()


def test_a_process_that_is_gone_cannot_be_taken(group):
    assert not group.take(4999999)


def test_kills_are_read_from_version_two(tmp_path):
    (tmp_path / "memory.events").write_text("low 0\nmax 12\noom 3\noom_kill 2\n")
    assert MemoryGroup(tmp_path, _V2).kills() == 2


@pytest.mark.skipif(not STRONG.available, reason=f"level strong is not available: {STRONG.detail}")
def test_many_processes_that_take_memory_together_are_ended_by_the_kernel(group):
    # Each takes far less than the limit, all of them more, and faster than anybody polls.
    source = (
        "import os, time\n"
        "def f():\n"
        "    for _ in range(8):\n"
        "        if os.fork() == 0:\n"
        "            x = bytearray(50 * 2**20)\n"
        "            time.sleep(30)\n"
        "            os._exit(0)\n"
        "    time.sleep(30)"
    )
    limits = Limits(timeout_s=5, wall_timeout_s=60, memory_mb=100, scratch_mb=8)
    with ForkServer(SandboxSettings("initial.py", limits, Isolation.STRONG)) as server:
        assert server.memory_group
        started = time.monotonic()
        with pytest.raises(ProgramFailed) as caught, SandboxedProgram(server, {"initial.py": source}, 0) as program:
            program.call("f")
        assert time.monotonic() - started < 20
        with SandboxedProgram(server, {"initial.py": "def f():\n    return 1"}, 0) as program:
            assert program.call("f") == 1
    assert caught.value.outcome is Outcome.OUT_OF_MEMORY
    assert "limits.memory_mb = 100" in caught.value.feedback
