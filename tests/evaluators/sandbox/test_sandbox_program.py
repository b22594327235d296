"""Programs that misbehave, each run for real."""

import contextlib
import dataclasses
import os
import re
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evolve.evaluators.base import ProgramFailed
from evolve.evaluators.sandbox import available_levels, tree
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Isolation, Limits, Outcome

# Wide wall-clock limits: other work on the machine must not decide a test.
LIMITS = Limits(timeout_s=1.0, wall_timeout_s=30.0, memory_mb=200, max_processes=12, max_reply_mb=1)
HASTY = dataclasses.replace(LIMITS, timeout_s=0.2)
IMPATIENT = dataclasses.replace(LIMITS, timeout_s=1.0, wall_timeout_s=1.0)
LEVELS = [report.level for report in available_levels() if report.available]
WITH_LANDLOCK = pytest.mark.skipif(Isolation.LANDLOCK not in LEVELS, reason="this kernel has no Landlock")


@pytest.fixture(scope="module", params=LEVELS)
def server(request):
    with ForkServer(SandboxSettings("initial.py", LIMITS, request.param)) as server:
        yield server


@pytest.fixture(scope="module")
def landlocked():
    with ForkServer(SandboxSettings("initial.py", LIMITS, Isolation.LANDLOCK)) as server:
        yield server


@pytest.fixture(scope="module", params=LEVELS)
def impatient_server(request):
    with ForkServer(SandboxSettings("initial.py", IMPATIENT, request.param)) as server:
        yield server


@pytest.fixture(scope="module", params=LEVELS)
def hasty_server(request):
    with ForkServer(SandboxSettings("initial.py", HASTY, request.param)) as server:
        yield server


def answer(server, source, *arguments, seed=0, **more_files):
    files = {"initial.py": source, **{name.replace("__", "/") + ".py": text for name, text in more_files.items()}}
    with SandboxedProgram(server, files, seed) as program:
        return program.call("f", *arguments)


def failure(server, source, *arguments):
    with pytest.raises(ProgramFailed) as caught:
        answer(server, source, *arguments)
    return caught.value


def call_often(program, times, *arguments):
    for _ in range(times):
        program.call("f", *arguments)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# What an honest program can rely on.


def test_arrays_and_tuples_cross_in_both_directions(server):
    centers, total = answer(server, "def f(a, b=0):\n    return a * 2, a.sum() + b", np.arange(3.0))
    assert centers.tolist() == [0, 2, 4]
    assert total == 3.0


def test_a_program_cannot_edit_an_array_that_was_lent_read_only(server):
    lent = np.arange(3.0)
    lent.setflags(write=False)
    source = "def f(a):\n    a[0] = 7\n    return a"
    assert "ValueError: assignment destination is read-only" in failure(server, source, lent).feedback
    assert answer(server, source, np.arange(3.0)).tolist() == [7, 1, 2]


def test_an_answer_can_be_edited_whatever_the_program_made_it_of(server):
    back = answer(server, "import numpy as np\ndef f(a):\n    return a, np.broadcast_to(a, (2, 3))", np.broadcast_to(1.0, 3))
    assert [array.flags.writeable for array in back] == [True, True]


def test_not_a_number_passes_as_data(server):
    assert np.isnan(answer(server, "import numpy as np\ndef f():\n    return np.full(2, np.nan)")).all()


def test_state_lasts_from_call_to_call_and_no_longer(server):
    source = (
        "seen = []\ndef f():\n    seen.append(1)\n    open('left', 'a').write('x')\n    return len(seen), len(open('left').read())"
    )
    for _ in range(2):
        with SandboxedProgram(server, {"initial.py": source}, 0) as program:
            assert [program.call("f"), program.call("f")] == [(1, 1), (2, 2)]


def test_other_files_can_be_imported(server):
    source = "import near\nfrom lib.far import y\ndef f():\n    return near.x, y"
    assert answer(server, source, near="x = 1", lib__far="y = 2") == (1, 2)


def test_global_generators_are_seeded(server):
    source = "import random\nimport numpy as np\ndef f():\n    return random.random(), float(np.random.rand()), hash('text')"
    assert answer(server, source, seed=3) == answer(server, source, seed=3)
    assert answer(server, source, seed=3)[:2] != answer(server, source, seed=4)[:2]


def test_cpu_time_is_measured_while_it_runs_and_afterwards(server):
    source = "import time\ndef f():\n    while time.process_time() < 0.1:\n        pass"
    with SandboxedProgram(server, {"initial.py": source}, 0) as program:
        assert program.cpu_s == 0.0
        program.call("f")
        assert 0.09 < program.cpu_s < 0.4
    assert 0.09 < program.cpu_s < 0.4


def test_an_argument_that_cannot_cross_is_the_callers_mistake(server):
    with pytest.raises(TypeError, match="cannot be sent"):
        answer(server, "def f(x): pass", object())


def test_a_large_argument_crosses(server):
    assert answer(server, "def f(x):\n    return x.size", np.zeros(2**20)) == 2**20


# What is said of a failure.


def test_a_traceback_shows_the_programs_own_frames_only(server):
    failed = failure(server, "import json\ndef f():\n    json.loads('{')")
    assert failed.outcome is Outcome.CRASHED
    assert 'File "initial.py", line 3, in f' in failed.feedback
    assert "JSONDecodeError" in failed.feedback
    assert re.findall(r'File "([^"]+)"', failed.feedback) == ["initial.py"]


def test_a_syntax_error_names_its_line(server):
    failed = failure(server, "x = 1\ndef f(:\n    pass")
    assert failed.outcome is Outcome.CRASHED
    assert 'File "initial.py", line 2' in failed.feedback


def test_a_missing_function_is_answered_with_those_there_are(server):
    failed = failure(server, "def g(): pass\ndef _h(): pass")
    assert failed.outcome is Outcome.INVALID
    assert "no function 'f'; functions and classes in it: g" in failed.feedback


def test_the_end_of_what_it_printed_helps(server):
    failed = failure(server, "import sys\ndef f():\n    print('out')\n    print('err', file=sys.stderr)\n    1 / 0")
    assert "out" in failed.feedback
    assert "err" in failed.feedback


def test_a_failed_program_goes_on_failing(server):
    with SandboxedProgram(server, {"initial.py": "def f():\n    1 / 0\ndef g():\n    return 1"}, 0) as program:
        for function in "fg":
            with pytest.raises(ProgramFailed, match="ZeroDivisionError"):
                program.call(function)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os._exit(0)", "exited with status 0"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("os.close(3); time.sleep(60)", "closed its connection"),
        ("f()", "RecursionError"),
    ],
)
def test_the_way_it_ended_is_named(server, body, words):
    failed = failure(server, f"import os, sys, time\ndef f():\n    {body}")
    assert failed.outcome is Outcome.CRASHED
    assert words in failed.feedback


# Limits.


def test_an_endless_loop_is_stopped_by_its_cpu_time(hasty_server):
    started = time.monotonic()
    failed = failure(hasty_server, "def f():\n    while True: pass")
    assert failed.outcome is Outcome.TIMED_OUT
    assert not failed.timing_dependent
    assert time.monotonic() - started < 30


def test_an_endless_loop_at_import_is_stopped_as_well(hasty_server):
    assert failure(hasty_server, "while True: pass").outcome is Outcome.TIMED_OUT


def test_cpu_time_of_child_processes_counts(hasty_server):
    source = "import os\ndef f():\n    for _ in range(2):\n        if os.fork() == 0:\n            while True: pass\n    os.wait()"
    assert failure(hasty_server, source).outcome is Outcome.TIMED_OUT


def test_cpu_time_adds_up_over_many_short_calls(hasty_server):
    source = "import time\ndef f():\n    end = time.process_time() + 0.004\n    while time.process_time() < end: pass"
    with SandboxedProgram(hasty_server, {"initial.py": source}, 0) as program, pytest.raises(ProgramFailed) as caught:
        call_often(program, 1000)
    assert caught.value.outcome is Outcome.TIMED_OUT


def test_sleeping_is_stopped_by_the_wall_clock_and_says_so(impatient_server):
    failed = failure(impatient_server, "import time\ndef f():\n    time.sleep(600)")
    assert failed.outcome is Outcome.TIMED_OUT
    assert failed.timing_dependent


def test_the_wall_clock_adds_up_over_calls_and_only_in_calls(impatient_server):
    source = "import time\ndef f(s):\n    time.sleep(s)"
    with SandboxedProgram(impatient_server, {"initial.py": source}, 0) as program:
        program.call("f", 0.01)
        time.sleep(1.1)  # longer than the limit, but between calls
        program.call("f", 0.01)
        with pytest.raises(ProgramFailed, match="wall-clock"):
            call_often(program, 11, 0.1)


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    return len(bytearray(2**30))",
        "def f():\n    kept = []\n    while True:\n        kept.append(bytearray(2**20))",
        # Each below the limit of one process, together above it.
        "import os, time\ndef f():\n    for _ in range(4):\n        if os.fork() == 0:\n            kept = b'x' * 100 * 2**20\n"
        "            time.sleep(60)\n    time.sleep(60)",
    ],
    ids=["at once", "bit by bit", "in several processes"],
)
def test_memory_is_limited(server, source):
    assert failure(server, source).outcome is Outcome.OUT_OF_MEMORY


def test_memory_of_the_warm_interpreter_is_not_counted_once_per_process(server):
    source = (
        "import os, time\n"
        "def f():\n"
        "    for _ in range(8):\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(60)\n"
        "    time.sleep(0.3)"
    )
    assert answer(server, source) is None


def test_a_fork_bomb_is_stopped(server):
    # Bounded by itself as well, should the limit fail.
    source = (
        "import os, time\n"
        "def f():\n"
        "    for _ in range(200):\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(30)\n"
        "            os._exit(0)\n"
        "    time.sleep(30)"
    )
    failed = failure(server, source)
    assert failed.outcome is Outcome.CRASHED
    assert "limits.max_processes = 12" in failed.feedback


def test_threads_count_as_processes(server):
    source = (
        "import threading, time\n"
        "def f():\n"
        "    for _ in range(20):\n"
        "        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n"
        "    time.sleep(30)"
    )
    assert "max_processes" in failure(server, source).feedback


def test_printing_a_hundred_megabytes_costs_nothing(server):
    # 0.5 s of CPU is enough for it, and only the end is kept.
    source = (
        "import os\n"
        "def f():\n"
        "    for _ in range(1000):\n"
        "        os.write(1, b'x' * 10**5)\n"
        "    os.write(1, b'the end')\n"
        "    raise ValueError"
    )
    failed = failure(server, source)
    assert failed.outcome is Outcome.CRASHED
    assert failed.feedback.endswith("the end")
    assert len(failed.feedback) < 10_000


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("b'x' * 2**21", "2.0 MB, more than limits.max_reply_mb = 1"),
        ("np.array([object()])", "dtype object"),
        ("object()", "an object of type object"),
        ("functools.reduce(lambda inner, _: [inner], range(500))", "recursion|nested"),
        ("functools.reduce(lambda inner, _: [inner], range(100))", "nested"),
        ("{(1, 2): 3}", "keys"),
        ("10**1000 ** 2", "an integer"),
    ],
)
def test_an_answer_that_cannot_cross_is_invalid(server, value, words):
    failed = failure(server, f"import functools\nimport numpy as np\ndef f():\n    return {value}")
    assert failed.outcome is Outcome.INVALID
    assert re.search(words, failed.feedback)


# Attacks.

FORGE = """
import os, struct, msgpack
def f(value):
    payload = msgpack.packb(value)
    frame = struct.pack(">Q", len(payload)) + payload
    for fd in range(64):
        try:
            os.write(fd, frame)
        except OSError:
            pass
    os._exit(0)
"""


@pytest.mark.parametrize(
    "value",
    [["ended", 0, 0.0], ["forked", 1, 1], ["raised", [1], "x"], [[1], [2]], 5, ["ok"], ["ok", 1, 2], {"a": 1}],
)
def test_a_forged_frame_on_every_descriptor_fails_the_program_alone(server, value):
    failed = failure(server, FORGE, value)
    assert failed.outcome is Outcome.INVALID
    assert "not in the protocol" in failed.feedback
    assert answer(server, "def f():\n    return 1") == 1


def test_bytes_that_are_no_message_are_invalid(server):
    source = "import os, struct\ndef f():\n    os.write(3, struct.pack('>Q', 3) + b'\\xc1\\xc1\\xc1')\n    os._exit(0)"
    assert "cannot be read" in failure(server, source).feedback


def test_an_announcement_of_terabytes_is_refused_unread(server):
    source = "import os, struct\ndef f():\n    os.write(3, struct.pack('>Q', 2**40))\n    os._exit(0)"
    assert "more than limits.max_reply_mb" in failure(server, source).feedback


def test_a_forged_answer_is_but_an_answer(server):
    source = (
        "import os, struct, msgpack\n"
        "def f():\n"
        "    p = msgpack.packb(['ok', 7])\n"
        "    os.write(3, struct.pack('>Q', len(p)) + p)\n"
        "    os._exit(0)"
    )
    assert answer(server, source) == 7


DAEMON = """
import os, signal, time
def f():
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            os.write(writing, str(os.getpid()).encode())
            time.sleep(600)
        os._exit(0)
    os.wait()
    return int(os.read(reading, 20))
"""


def test_a_daemon_does_not_outlive_the_evaluation(server):
    with SandboxedProgram(server, {"initial.py": DAEMON}, 0) as program:
        program.call("f")
        daemon = tree.usage_below(server.pid).pids[-1]
        assert is_alive(daemon)
    assert not is_alive(daemon)
    assert tree.usage_below(server.pid).pids == ()


def test_a_process_that_keeps_forking_itself_away_does_not_outlive_the_evaluation(server):
    source = (
        "import os\n"
        "def f():\n"
        "    pid = os.fork()\n"
        "    while pid == 0:\n"
        "        os.setsid()\n"
        "        if os.fork():\n"
        "            os._exit(0)\n"
        "    return 1"
    )
    with SandboxedProgram(server, {"initial.py": source}, 0) as program:
        program.call("f")
    assert Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text() == ""


def test_only_its_own_descriptors_are_open(server):
    source = (
        "import os\n"
        "def f():\n"
        "    found = []\n"
        "    for fd in range(1024):\n"
        "        try:\n"
        "            os.fstat(fd)\n"
        "            found.append(fd)\n"
        "        except OSError:\n"
        "            pass\n"
        "    return found"
    )
    assert answer(server, source) == [0, 1, 2, 3]


def test_its_environment_holds_nothing_of_the_users(server, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "secret")
    with ForkServer(server.settings) as fresh:
        environment = answer(fresh, "import os\ndef f():\n    return dict(os.environ)")
    assert "SOME_API_KEY" not in environment
    assert environment["PYTHONHASHSEED"] == "0"


def test_no_pth_file_of_this_package_has_run(server):
    with pytest.raises(ProgramFailed, match="No module named 'evolve'"):
        answer(server, "def f():\n    import evolve")


def test_killing_its_server_fails_the_program_alone(server):
    # With Landlock version 6 the signal is not delivered at all.
    with ForkServer(server.settings) as own:
        with contextlib.suppress(ProgramFailed):
            answer(own, "import os, time\ndef f():\n    os.kill(os.getppid(), 9)\n    time.sleep(60)")
        assert answer(own, "def f():\n    return 1") == 1


def test_deleting_everything_it_can_reach_leaves_the_next_program_alone(server):
    source = (
        "import os, shutil\n"
        "def f():\n"
        "    os.mkdir('d')\n"
        "    os.symlink('/', 'd/root')\n"
        "    os.chmod('d', 0)\n"
        "    os.remove('initial.py')"
    )
    answer(server, source)
    assert answer(server, "import os\ndef f():\n    return sorted(os.listdir('.'))") == ["initial.py"]


# Landlock.


@WITH_LANDLOCK
@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/1/cmdline",
        str(Path.home()),
        str(Path(__file__)),
        str(Path(sys.modules["evolve"].__file__)),
        str(Path(sys.modules["evolve.evaluators.base"].__file__)),
        str(Path.cwd()),
        "/tmp",
    ],
)
def test_what_is_not_its_business_cannot_be_read(landlocked, path):
    source = "import os\ndef f(path):\n    return os.listdir(path) if os.path.isdir(path) else open(path).read()"
    assert "PermissionError" in failure(landlocked, source, path).feedback


@WITH_LANDLOCK
def test_the_tasks_folder_cannot_be_read_even_among_installed_packages(tmp_path):
    (tmp_path / "evaluate.py").write_text("secret = 1")
    settings = SandboxSettings("initial.py", LIMITS, Isolation.LANDLOCK, hidden=(tmp_path,))
    with ForkServer(settings) as server:
        assert "PermissionError" in failure(server, f"def f():\n    open({str(tmp_path / 'evaluate.py')!r})").feedback


@WITH_LANDLOCK
def test_only_the_scratch_folder_can_be_written(landlocked):
    assert (
        answer(landlocked, "import os\ndef f():\n    os.mkdir('a')\n    open('a/b', 'w').write('x')\n    return open('a/b').read()")
        == "x"
    )
    assert "PermissionError" in failure(landlocked, "def f():\n    open('/tmp/evolve-test', 'w')").feedback


@WITH_LANDLOCK
def test_installed_packages_and_system_programs_still_work(landlocked):
    source = "import subprocess, scipy.optimize, sqlite3\ndef f():\n    return subprocess.check_output(['/bin/echo', 'hello'])"
    limits = Limits(timeout_s=20, max_processes=12)
    with ForkServer(SandboxSettings("initial.py", limits, Isolation.LANDLOCK)) as server:
        assert answer(server, source) == b"hello\n"


@WITH_LANDLOCK
def test_tcp_is_out_of_reach(landlocked):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = "import socket\ndef f(port):\n    socket.create_connection(('127.0.0.1', port), timeout=0.5)"
        assert "PermissionError" in failure(landlocked, source, listener.getsockname()[1]).feedback
    assert "PermissionError" in failure(landlocked, "import socket\ndef f():\n    socket.create_server(('127.0.0.1', 0))").feedback


@WITH_LANDLOCK
def test_other_processes_cannot_be_signalled(landlocked):
    source = "import os\ndef f(pid):\n    os.kill(pid, 0)"
    for pid in (landlocked.pid, os.getpid()):
        assert "PermissionError" in failure(landlocked, source, pid).feedback
