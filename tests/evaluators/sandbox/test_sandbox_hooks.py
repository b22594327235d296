"""A trusted loop that calls a program through shared memory, each program run for real."""

import dataclasses

import numpy as np
import pytest

from evolve.evaluators.base import ProgramFailed
from evolve.evaluators.sandbox import available_levels
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Limits, Outcome

LIMITS = Limits(timeout_s=5.0, wall_timeout_s=60.0, memory_mb=200, max_processes=12, max_reply_mb=1)
HASTY = dataclasses.replace(LIMITS, timeout_s=0.3)
IMPATIENT = dataclasses.replace(LIMITS, timeout_s=0.5, wall_timeout_s=0.5)
LEVELS = [report.level for report in available_levels() if report.available]
X = {"x": ((3,), "float64")}
Y = {"y": ((3,), "float64")}
ONES = np.ones(3)


@pytest.fixture(scope="module", params=LEVELS)
def server(request):
    with ForkServer(SandboxSettings("initial.py", LIMITS, request.param)) as server:
        yield server


@pytest.fixture(scope="module", params=LEVELS)
def hasty_server(request):
    with ForkServer(SandboxSettings("initial.py", HASTY, request.param)) as server:
        yield server


@pytest.fixture(scope="module", params=LEVELS)
def impatient_server(request):
    with ForkServer(SandboxSettings("initial.py", IMPATIENT, request.param)) as server:
        yield server


@pytest.fixture
def program(server):
    """Makes programs of a source; they end with the test."""
    made = []

    def make(source):
        made.append(SandboxedProgram(server, {"initial.py": source}, 0))
        return made[-1]

    yield make
    for one in made:
        one.__exit__(None, None, None)


def failure(program, inputs=X, outputs=Y, times=1, **options):
    """Runs ``f`` of a program through hooks and returns how it failed."""
    with pytest.raises(ProgramFailed) as caught, program.hooks() as hooks:
        call_often(hooks.bind("f", inputs=inputs, outputs=outputs, **options), times)
    return caught.value


def call_often(hook, times):
    for _ in range(times):
        hook(x=ONES)


# What an honest program and its evaluator can rely on.


def test_arrays_go_in_and_come_back(program):
    with program("def route(logits, load):\n    return logits.mean(0) - load").hooks() as hooks:
        route = hooks.bind(
            "route", inputs={"logits": ((4, 2), "float32"), "load": ((2,), "float32")}, outputs={"bias": ((2,), "float32")}
        )
        for shift in (0, 10):
            logits = np.arange(8, dtype=np.float32).reshape(4, 2) + shift
            found = route(logits=logits, load=np.float32([1, 2]))
            assert found["bias"].tolist() == [2 + shift, 2 + shift]
            assert found["bias"].dtype == np.float32


@pytest.mark.parametrize("returned", ["(x * 2, x > 1)", "[x * 2, x > 1]", "{'large': x > 1, 'twice': x * 2}"])
def test_several_outputs_come_as_a_sequence_or_by_name(program, returned):
    outputs = {"twice": ((3,), "float64"), "large": ((3,), "bool")}
    with program(f"def f(x):\n    return {returned}").hooks() as hooks:
        found = hooks.bind("f", inputs=X, outputs=outputs)(x=np.array([0.0, 1.0, 2.0]))
    assert found["twice"].tolist() == [0, 2, 4]
    assert found["large"].tolist() == [False, False, True]


def test_kept_outputs_do_not_change_with_the_next_call(program):
    with program("def f(x):\n    return x + 1").hooks() as hooks:
        f = hooks.bind("f", inputs=X, outputs=Y)
        first = f(x=ONES)["y"]
        f(x=ONES * 5)
    assert first.tolist() == [2, 2, 2]


def test_several_hooks_share_the_memory_and_the_programs_state(program):
    source = "seen = []\ndef see(x):\n    seen.append(x.sum())\n    return 0.0\ndef total(n):\n    return sum(seen[-int(n):])"
    with program(source).hooks() as hooks:
        see = hooks.bind("see", inputs=X, outputs={"nothing": ((), "float64")})
        total = hooks.bind("total", inputs={"n": ((), "int64")}, outputs={"sum": ((), "float64")})
        for scale in range(4):
            see(x=ONES * scale)
        assert total(n=np.array(2))["sum"] == 15.0


def test_calls_and_hooks_mix(program):
    one = program("n = 0\ndef f(x):\n    global n\n    n += 1\n    return x\ndef count(query):\n    return query(n)")
    with one.hooks() as hooks:
        call_often(hooks.bind("f", inputs=X, outputs=Y), 3)
        assert one.call("count", callbacks={"query": lambda n: n + 100}) == 103
        call_often(hooks.bind("f", inputs=X, outputs=Y), 3)
    assert one.call("count", callbacks={"query": lambda n: n}) == 6
    with one.hooks() as hooks:
        call_often(hooks.bind("f", inputs=X, outputs=Y), 3)
    assert one.call("count", callbacks={"query": lambda n: n}) == 9


def test_what_a_program_defines_is_known_before_anything_is_bound(program):
    with program("import math\nfrom math import sin\nE = 3\ndef route(): pass\ndef _own(): pass").hooks() as hooks:
        assert hooks.defined == {"route", "sin"}


def test_inputs_cannot_be_changed_by_accident(program):
    assert "read-only" in failure(program("def f(x):\n    x += 1\n    return x")).feedback


def test_another_shape_given_to_an_input_does_not_last(program):
    with program("def f(x):\n    x.shape = (3, 1)\n    return x[:, 0]").hooks() as hooks:
        call_often(hooks.bind("f", inputs=X, outputs=Y), 2)


def test_empty_and_scalar_arrays_cross(program):
    with program("def f(x, n):\n    return x, n + 1").hooks() as hooks:
        f = hooks.bind(
            "f", inputs={"x": ((0, 3), "float32"), "n": ((), "int8")}, outputs={"x": ((0, 3), "float32"), "n": ((), "int8")}
        )
        found = f(x=np.empty((0, 3), np.float32), n=np.int8(4))
    assert found["x"].shape == (0, 3)
    assert found["n"] == 5


def test_narrower_dtypes_are_converted_to(program):
    with program("def f(x):\n    return [1, 2, 3]").hooks() as hooks:
        assert hooks.bind("f", inputs=X, outputs={"y": ((3,), "float32")})(x=ONES)["y"].tolist() == [1, 2, 3]


def test_not_a_number_passes_where_it_may(program):
    with program("def f(x):\n    return x * float('nan')").hooks() as hooks:
        assert np.isnan(hooks.bind("f", inputs=X, outputs=Y, finite=False)(x=ONES)["y"]).all()


# What is said of a failure.


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("x[:2]", r"f returned y: an array of shape (2,); expected an array of shape (3,) and dtype float64"),
        ("x * 1j", "an array of dtype complex128; expected an array of shape (3,) and dtype float64"),
        ("None", "y: a NoneType, as an array of dtype object"),
        ("'text'", "y: a str"),
        ("(x, x)", "y: an array of shape (2, 3); expected"),
        ("[[1], [1, 2]]", "y: list is not an array"),
        ("{'z': x}", "a dict with z; expected y"),
        ("x / 0", "output y of f has 3 values of 3 that are not finite (the first, at [0], is inf)"),
        ("[1, float('nan'), 2]", "output y of f has 1 values of 3 that are not finite (the first, at [1], is nan)"),
    ],
)
def test_an_answer_that_does_not_fit_is_invalid(program, returned, words):
    failed = failure(program(f"import numpy as np\nnp.seterr(all='ignore')\ndef f(x):\n    return {returned}"))
    assert failed.outcome is Outcome.INVALID
    assert words in failed.feedback


@pytest.mark.parametrize(("returned", "words"), [("x", "a ndarray; expected 2 arrays: y, z"), ("(x,)", "a tuple of 1; expected 2")])
def test_too_few_outputs_are_named(program, returned, words):
    failed = failure(program(f"def f(x):\n    return {returned}"), outputs=Y | {"z": ((3,), "float64")})
    assert words in failed.feedback


def test_a_number_too_large_for_the_output_is_not_finite(program):
    failed = failure(program("def f(x):\n    return x * 1e300"), outputs={"y": ((3,), "float32")})
    assert "not finite" in failed.feedback


def test_a_scalar_that_is_not_finite_is_shown(program):
    failed = failure(program("def f(x):\n    return float('-inf')"), outputs={"y": ((), "float64")})
    assert "1 values of 1 that are not finite: -inf" in failed.feedback


def test_an_exception_shows_its_traceback(program):
    failed = failure(program("def f(x):\n    return x[7]"))
    assert failed.outcome is Outcome.CRASHED
    assert 'File "initial.py", line 2, in f' in failed.feedback


def test_a_function_that_is_not_there_is_answered_with_those_that_are(program):
    failed = failure(program("def g(): pass"))
    assert failed.outcome is Outcome.INVALID
    assert "no function 'f'; functions and classes in it: g" in failed.feedback


def test_a_program_that_does_not_load_fails_when_the_memory_is_shared(program):
    with pytest.raises(ProgramFailed, match="while the program was loaded"), program("1 / 0").hooks():
        pass


# Mistakes of the evaluator.


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ({"x": ((3,), "floaty")}, Y, "x has dtype 'floaty'"),
        ({"x": ((3,), "O")}, Y, "numbers and bool can cross"),
        ({"x": ((3,), ">f4")}, {}, "no outputs"),
        ({"x": ((-3,), "f4")}, Y, "integers >= 0"),
        ({"x": ((3.0,), "f4")}, Y, "integers >= 0"),
        (
            X,
            {"y": ((2**18,), "float64")},
            r"shared_mb = 1 is too small: f needs 2097\d\d\d bytes, 1048576 are left; ask for hooks\(shared_mb=3\)",
        ),
    ],
)
def test_what_cannot_be_bound_is_named(program, inputs, outputs, words):
    with program("def f(x): pass").hooks(shared_mb=1) as hooks, pytest.raises(ValueError, match=words):
        hooks.bind("f", inputs=inputs, outputs=outputs)


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        ({"x": np.ones(2)}, ValueError, r"input x has shape \(2,\) and dtype float64; it was declared with \(3,\) and float64"),
        ({"x": np.ones(3, np.float32)}, ValueError, "dtype float32; it was declared"),
        ({}, TypeError, "f takes x; got nothing"),
        ({"x": ONES, "z": ONES}, TypeError, "f takes x; got x, z"),
    ],
)
def test_other_inputs_than_declared_are_refused(program, inputs, error, words):
    with program("def f(x):\n    return x").hooks() as hooks:
        f = hooks.bind("f", inputs=X, outputs=Y)
        with pytest.raises(error, match=words):
            f(**inputs)
        assert f(x=ONES)["y"].tolist() == [1, 1, 1]


def test_one_memory_at_a_time(program):
    one = program("def f(x):\n    return x")
    with one.hooks(), pytest.raises(RuntimeError, match="open already"):
        one.hooks()
    with pytest.raises(ValueError, match="shared_mb must be > 0, got 0"):
        one.hooks(shared_mb=0)


def test_closed_hooks_say_so(program):
    with program("def f(x):\n    return x").hooks() as hooks:
        f = hooks.bind("f", inputs=X, outputs=Y)
    with pytest.raises(ValueError, match="the hooks are closed"):
        f(x=ONES)
    with pytest.raises(ValueError, match="the hooks are closed"):
        hooks.bind("f", inputs=X, outputs=Y)


def test_a_callback_cannot_use_hooks(program):
    one = program("def f(x):\n    return x\ndef g(query):\n    query()")
    with one.hooks() as hooks:
        f = hooks.bind("f", inputs=X, outputs=Y)
        with pytest.raises(RuntimeError, match="a callback cannot call the program"):
            one.call("g", callbacks={"query": lambda: f(x=ONES)})


# Limits and attacks.


def test_cpu_time_adds_up_over_many_quick_calls(hasty_server):
    source = (
        "import time\ndef f(x):\n    end = time.process_time() + 0.002\n    while time.process_time() < end: pass\n    return x"
    )
    with SandboxedProgram(hasty_server, {"initial.py": source}, 0) as one:
        failed = failure(one, times=10_000)
    assert failed.outcome is Outcome.TIMED_OUT
    assert not failed.timing_dependent


def test_never_answering_is_stopped_by_the_wall_clock(impatient_server):
    with SandboxedProgram(impatient_server, {"initial.py": "import time\ndef f(x):\n    time.sleep(600)"}, 0) as one:
        failed = failure(one)
    assert failed.outcome is Outcome.TIMED_OUT
    assert failed.timing_dependent


def test_processes_and_memory_stay_limited(program):
    forks = "import os, time\ndef f(x):\n    while os.fork():\n        pass\n    time.sleep(30)"
    # Level strong has the kernel refuse them.
    feedback = failure(program(forks)).feedback
    assert "max_processes" in feedback or "BlockingIOError" in feedback
    grows = "kept = []\ndef f(x):\n    kept.append(bytearray(2**20))\n    return x"
    assert failure(program(grows), times=1000).outcome is Outcome.OUT_OF_MEMORY


def test_shared_memory_counts_as_the_programs(program):
    with pytest.raises(ProgramFailed) as caught, program("def f(x):\n    return x").hooks(shared_mb=2000):
        pass
    assert caught.value.outcome is Outcome.OUT_OF_MEMORY


def test_ending_itself_is_a_crash(program):
    assert failure(program("import os\ndef f(x):\n    os._exit(3)")).outcome is Outcome.CRASHED


WRITE = "import os, struct, msgpack\ndef frame(payload):\n    return struct.pack('>Q', len(payload)) + payload\n"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (r"b'\xc1' * 8", "answered out of turn"),
        ("b''", "cannot be read"),
        (r"b'\x01' * 50", "cannot be read"),
        ("msgpack.packb(['ok', 1])", "answered with a value, not through the shared memory"),
        ("msgpack.packb(['callback', 1, 'query', [], {}])", "called a callback; hooks have none"),
        ("msgpack.packb(['unfit', [1]])", "not in the protocol"),
        ("msgpack.packb({'a': 1})", "not in the protocol"),
    ],
)
def test_garbage_on_the_channel_is_invalid(program, message, words):
    failed = failure(program(f"{WRITE}def f(x):\n    os.write(3, frame({message}))\n    os._exit(0)"))
    assert failed.outcome is Outcome.INVALID
    assert words in failed.feedback


def test_an_announcement_of_terabytes_is_refused_unread(program):
    failed = failure(program(f"{WRITE}def f(x):\n    os.write(3, struct.pack('>Q', 2**60))\n    os._exit(0)"))
    assert failed.outcome is Outcome.INVALID
    assert "more than limits.max_reply_mb" in failed.feedback


def test_answering_twice_is_noticed_at_the_next_call(program):
    source = (
        WRITE
        + "n = 0\ndef f(x):\n    global n\n    n += 1\n    os.write(3, frame(struct.pack('>cxHI', b'\\xc1', 0, n)))\n    return x"
    )
    failed = failure(program(source), times=2)
    assert failed.outcome is Outcome.INVALID
    assert "answered out of turn" in failed.feedback


def test_scribbling_over_the_memory_meanwhile_yields_numbers_of_the_declared_kind(program):
    source = (
        "import ctypes, threading\n"
        "def scribble(address):\n"
        "    while True:\n"
        "        for byte in (0, 255):\n"
        "            ctypes.memset(address, byte, 4096)\n"
        "def f(x):\n"
        "    if threading.active_count() == 1:\n"
        "        threading.Thread(target=scribble, args=(x.ctypes.data,), daemon=True).start()\n"
        "    return x > 0, 1"
    )
    with program(source).hooks() as hooks:
        f = hooks.bind("f", inputs=X, outputs={"flags": ((3,), "bool"), "n": ((), "int64")})
        for _ in range(200):
            found = f(x=ONES)
            assert found["flags"].view(np.uint8).max() <= 1
            assert found["n"].shape == ()


def test_scribbled_nan_is_caught_after_the_copy(program):
    source = (
        "import ctypes, time, threading\n"
        "def scribble(address):\n"
        "    while True:\n"
        "        ctypes.memset(address, 255, 4096)\n"
        "def f(x):\n"
        "    threading.Thread(target=scribble, args=(x.ctypes.data,), daemon=True).start()\n"
        "    time.sleep(0.05)\n"
        "    return x"
    )
    assert "not finite" in failure(program(source)).feedback


def test_the_memory_can_be_made_neither_smaller_nor_larger(program):
    source = (
        "import errno, fcntl, os\n"
        "def f(x):\n"
        "    refused = 0\n"
        "    for fd in range(4, 64):\n"
        "        for change in (lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, 2**27), lambda: fcntl.fcntl(fd, 1033, 8)):\n"
        "            try:\n"
        "                change()\n"
        "            except OSError as error:\n"
        "                refused += error.errno == errno.EPERM\n"
        "    return refused"
    )
    with program(source).hooks() as hooks:
        f = hooks.bind("f", inputs=X, outputs={"n": ((), "int64")})
        # Its one descriptor, three attempts: to cut it, to extend it, to seal it against the worker's writing.
        assert [int(f(x=ONES)["n"]) for _ in range(2)] == [3, 3]


def test_a_memory_kept_from_before_reaches_nothing(program):
    source = "kept = []\ndef f(x):\n    kept.append(x)\n    kept[0].flags.writeable = True\n    kept[0][:] = 7\n    return x"
    one = program(source)
    for scale in (1, 2):
        with one.hooks() as hooks:
            found = hooks.bind("f", inputs=X, outputs=Y)(x=ONES * scale)["y"]
    assert found.tolist() == [2, 2, 2]
