"""Programs that are built and executed, each for real, at every level that this machine offers."""

import contextlib
import dataclasses
from pathlib import Path

import pytest

from evolve.evaluators import tools
from evolve.evaluators.base import ProgramFailed, SiblingFailed
from evolve.evaluators.sandbox import available_levels
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Build, Isolation, Limits, Outcome

LIMITS = Limits(timeout_s=1.0, wall_timeout_s=30.0, memory_mb=200, max_processes=12, max_reply_mb=1)
LEVELS = [report.level for report in available_levels() if report.available]
WITH_GXX = pytest.mark.skipif(bool(tools.missing(["g++"])), reason="g++ is not installed")
WITH_NODE = pytest.mark.skipif(bool(tools.missing(["node"])), reason="node is not installed")
SHELL = ("/bin/sh", "main.sh")


@pytest.fixture(scope="module", params=LEVELS)
def server(request):
    with ForkServer(SandboxSettings("main.sh", LIMITS, request.param, command=SHELL)) as server:
        yield server


@pytest.fixture(scope="module", params=LEVELS)
def builder(request):
    build = Build(("/bin/sh", "build.sh"), timeout_s=2.0, wall_timeout_s=60.0, memory_mb=100)
    with ForkServer(SandboxSettings("main.sh", LIMITS, request.param, build=build, command=SHELL)) as server:
        yield server


def program_of(server, script, **files):
    return SandboxedProgram(server, {"main.sh": script, **{name.replace("_", "."): text for name, text in files.items()}}, 0)


def failure(server, script, *args, build_sh="", **options):
    with program_of(server, script, build_sh=build_sh) as program, pytest.raises(ProgramFailed) as caught:
        program.execute(args, **options)
    return caught.value


def execute_often(program, times):
    for _ in range(times):
        program.execute()


# To the end.


def test_arguments_input_and_files_go_in_and_both_streams_come_out(server):
    with program_of(server, 'echo "$1-$2"; cat; cat extra/more.txt; echo oops >&2; exit 0') as program:
        done = program.execute(["a b", "c"], "typed\n", {"extra/more.txt": b"filed"})
    assert done.stdout == b"a b-c\ntyped\nfiled"
    assert done.stderr == b"oops\n"
    assert done.returncode == 0


def test_a_megabyte_goes_through_both_ways_and_more_is_invalid(server):
    with program_of(server, "cat") as program:
        assert program.execute(stdin=b"x" * 2**20).stdout == b"x" * 2**20
    failed = failure(server, "cat; cat main.sh", stdin=b"x" * 2**20)
    assert failed.outcome is Outcome.INVALID
    assert "limits.max_reply_mb = 1" in failed.feedback


def test_input_that_nobody_reads_is_no_failure(server):
    with program_of(server, "exec 0<&-; echo done") as program:
        assert program.execute(stdin=b"x" * 2**20).stdout == b"done\n"


def test_every_execution_finds_the_same_files(server):
    script = 'ls; echo hidden > .left; echo "echo changed" > main.sh; mkdir -p "$TMPDIR/a"; echo b > "$TMPDIR/a/b"; ls -A "$TMPDIR"'
    with program_of(server, script) as program:
        assert program.execute().stdout == program.execute().stdout


def test_a_failing_status_is_a_crash_unless_it_is_asked_for(server):
    failed = failure(server, "echo reason >&2; exit 3")
    assert failed.outcome is Outcome.CRASHED
    assert failed.feedback == "the program exited with status 3\nIt printed to standard error:\nreason"
    with program_of(server, "exit 3") as program:
        assert program.execute(check=False).returncode == 3


def test_a_signal_is_named(server):
    assert "ended by SIGSEGV" in failure(server, "kill -SEGV $$").feedback
    with program_of(server, "kill -SEGV $$") as program:
        assert program.execute(check=False).returncode == -11


def test_a_failed_execution_can_be_followed_by_another(server):
    with program_of(server, 'exit "$1"') as program:
        with pytest.raises(ProgramFailed):
            program.execute(["1"])
        assert program.execute(["0"]).returncode == 0


def test_a_path_out_of_the_folder_is_the_callers_mistake(server):
    with program_of(server, ":") as program, pytest.raises(ValueError, match="must lie inside its folder"):
        program.execute(files={"../x": "y"})


def test_a_task_without_a_command_says_what_to_add():
    with (
        ForkServer(SandboxSettings("a.py", LIMITS, Isolation.PROCESS)) as server,
        SandboxedProgram(server, {"a.py": ""}, 0) as program,
        pytest.raises(RuntimeError, match=r"\[run\] command = "),
    ):
        program.execute()


def test_a_command_that_is_not_there_is_named():
    settings = SandboxSettings("a", LIMITS, Isolation.PROCESS, command=("./nothing",))
    with ForkServer(settings) as server, SandboxedProgram(server, {"a": ""}, 0) as program, pytest.raises(ProgramFailed) as caught:
        program.execute()
    assert "./nothing cannot be run: No such file" in caught.value.feedback


# Limits.

BUSY = "while :; do :; done"


def test_cpu_seconds_are_those_of_the_whole_evaluation(server):
    spend = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
    with program_of(server, spend) as program, pytest.raises(ProgramFailed) as caught:
        execute_often(program, 200)
    assert caught.value.outcome is Outcome.TIMED_OUT
    assert "more than 1 s of CPU time" in caught.value.feedback
    assert not caught.value.timing_dependent


def test_an_endless_loop_is_stopped_and_its_children_are_counted(server):
    failed = failure(server, f"({BUSY}) & {BUSY}")
    assert failed.outcome is Outcome.TIMED_OUT
    assert not failed.timing_dependent


def test_one_execution_can_be_given_less(server):
    with program_of(server, BUSY) as program:
        with pytest.raises(ProgramFailed, match=r"more than 0\.1 s of CPU time"):
            program.execute(timeout_s=0.1)
        assert program.cpu_s < 0.6


def test_waiting_is_stopped_by_the_wall_clock_and_says_so(server):
    failed = failure(server, "sleep 600", timeout_s=0.1)
    assert failed.outcome is Outcome.TIMED_OUT
    assert failed.timing_dependent


def test_memory_is_limited(server):
    script = "import time; x = [bytes([1]) * 2**20 for _ in range(900)]; time.sleep(9)"
    failed = failure(server, f"exec python3 -S -c '{script}'")
    assert failed.outcome in (Outcome.OUT_OF_MEMORY, Outcome.CRASHED)
    assert "memory" in failed.feedback.lower()


def test_a_daemon_ends_with_its_execution(server):
    with program_of(server, "(sleep 321 &) ; echo started") as program:
        assert program.execute().stdout == b"started\n"
    running = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            running.append(path.read_bytes())
    assert b"sleep\x00321\x00" not in running


def test_cpu_time_is_measured_from_outside_and_without_our_own(server):
    with program_of(server, ":") as program:
        done = program.execute()
        assert 0 <= done.cpu_s < 0.05
        assert program.cpu_s == pytest.approx(done.cpu_s)
        # Another 0.1 s of children that are waited for, which only their parent's account holds.
    with program_of(server, "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done & wait; echo") as program:
        alone = program.execute().cpu_s
    assert alone > 0.01


# Builds.


def test_it_is_built_once_and_not_counted(builder):
    script = "echo built >> log.txt; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
    with program_of(builder, "cat log.txt", build_sh=script) as program:
        assert program.execute().stdout == program.execute().stdout == b"built\n"
        assert program.cpu_s < 0.1


def test_what_is_built_can_be_run_and_lies_in_folders(builder):
    build = "mkdir out; printf '#!/bin/sh\\necho hello' > out/tool; chmod +x out/tool; ln -s /etc/passwd out/link"
    with program_of(builder, "out/tool; ls out", build_sh=build) as program:
        assert program.execute().stdout == b"hello\ntool\n"


def test_a_failed_build_is_a_crash_with_the_compilers_words_every_time(builder):
    with program_of(builder, ":", build_sh="echo 'line 3: error' >&2; exit 1") as program:
        for _ in range(2):
            with pytest.raises(ProgramFailed) as caught:
                program.execute()
            assert caught.value.outcome is Outcome.CRASHED
            assert "the program does not build (/bin/sh build.sh): the program exited with status 1" in caught.value.feedback
            assert caught.value.feedback.endswith("line 3: error")


def test_a_compilers_first_words_are_kept(builder):
    noise = "echo first >&2; i=0; while [ $i -lt 3000 ]; do echo noise >&2; i=$((i+1)); done; exit 1"
    with program_of(builder, ":", build_sh=noise) as program, pytest.raises(ProgramFailed, match="\nfirst\n"):
        program.execute()


def test_a_build_has_limits_of_its_own(builder):
    with program_of(builder, ":", build_sh=BUSY) as program, pytest.raises(ProgramFailed) as caught:
        program.execute()
    assert caught.value.outcome is Outcome.TIMED_OUT
    assert "more than 2 s" in caught.value.feedback


def test_a_build_that_leaves_too_much_is_refused():
    limits = dataclasses.replace(LIMITS, scratch_mb=1)
    settings = SandboxSettings("main.sh", limits, Isolation.PROCESS, build=Build(("/bin/sh", "build.sh")), command=SHELL)
    with ForkServer(settings) as server:
        failed = failure(server, ":", build_sh="yes | head -c 2000000 > big")
    assert failed.outcome is Outcome.INVALID
    assert "limits.scratch_mb" in failed.feedback


# Siblings.


def test_a_sibling_runs_beside_the_program_and_is_not_counted(server):
    spend = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo sibling"
    with program_of(server, "echo program") as program:
        other = program.sibling({"main.sh": spend})
        said = [each.execute().stdout for each in (program, other, program)]
        assert said == [b"program\n", b"sibling\n", b"program\n"]
        assert program.cpu_s < other.cpu_s


def test_a_siblings_failure_is_not_the_programs(server):
    with program_of(server, ":") as program, pytest.raises(SiblingFailed):
        program.sibling({"main.sh": "exit 1"}).execute()


def test_a_siblings_build_is_kept_for_later_evaluations(builder):
    sources = {"main.sh": "cat id", "build.sh": "cat /proc/sys/kernel/random/uuid > id 2>/dev/null || date +%N > id"}
    said = set()
    for _ in range(3):
        with program_of(builder, ":", build_sh=":") as program:
            said.add(program.sibling(sources).execute().stdout)
    assert len(said) == 1


def test_files_of_program_and_sibling_are_apart(server):
    with program_of(server, "ls -A > seen; ls -A; sleep 0.05") as program:
        other = program.sibling({"main.sh": "ls -A", "own.txt": ""})
        with program.session():
            assert other.execute().stdout == b"main.sh\nown.txt\n"


# Calls and executions.


def test_a_program_can_be_executed_and_then_called_but_not_at_once():
    settings = SandboxSettings("main.py", LIMITS, Isolation.PROCESS, command=("python3", "main.py"))
    source = "def f():\n    return 3\nif __name__ == '__main__':\n    print('main')\n"
    with ForkServer(settings) as server, SandboxedProgram(server, {"main.py": source}, 0) as program:
        assert program.execute().stdout == b"main\n"
        with program.session(), pytest.raises(RuntimeError, match="session of the program is open"):
            program.call("f")
        assert program.call("f") == 3
        with pytest.raises(RuntimeError, match="waits for calls"):
            program.execute()


# Compilers and interpreters.

HELLO = '#include <iostream>\n#include <map>\nint main() { std::map<int, int> m{{1, 2}}; std::cout << m[1] << "\\n"; }\n'


@WITH_GXX
@pytest.mark.parametrize("level", LEVELS)
def test_a_program_in_cpp_is_built_and_run(level):
    build = Build(("g++", "-O1", "-std=c++17", "-o", "program", "main.cpp"))
    limits = dataclasses.replace(LIMITS, max_processes=1)
    settings = SandboxSettings("main.cpp", limits, level, build=build, command=("./program",))
    with ForkServer(settings) as server:
        with SandboxedProgram(server, {"main.cpp": HELLO}, 0) as program:
            assert program.execute().stdout == b"2\n"
        broken = {"main.cpp": HELLO.replace("m[1]", "n[1]")}
        with SandboxedProgram(server, broken, 0) as program, pytest.raises(ProgramFailed, match="was not declared"):
            program.execute()


@WITH_NODE
@pytest.mark.parametrize("level", LEVELS)
def test_a_program_in_javascript_is_run(level):
    settings = SandboxSettings("main.js", LIMITS, level, command=("node", "main.js"))
    source = {"main.js": "console.log([3, 1, 2].sort().join())"}
    with ForkServer(settings) as server, SandboxedProgram(server, source, 0) as program:
        assert program.execute().stdout == b"1,2,3\n"
