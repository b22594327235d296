"""Functions that an evaluator lends to a program, each called for real."""

import dataclasses
import re
import time

import numpy as np
import pytest

from evolve.evaluators.base import Callback, Invalid, ProgramFailed, Refused
from evolve.evaluators.sandbox import available_levels
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Limits, Outcome

LIMITS = Limits(timeout_s=2.0, wall_timeout_s=60.0, memory_mb=200, max_processes=12, max_reply_mb=1)
IMPATIENT = dataclasses.replace(LIMITS, timeout_s=0.5, wall_timeout_s=0.5)
LEVELS = [report.level for report in available_levels() if report.available]


@pytest.fixture(scope="module", params=LEVELS)
def server(request):
    with ForkServer(SandboxSettings("initial.py", LIMITS, request.param)) as server:
        yield server


def answer(server, source, *arguments, **callbacks):
    with SandboxedProgram(server, {"initial.py": source}, 0) as program:
        return program.call("f", *arguments, callbacks=callbacks)


def failure(server, source, *arguments, **callbacks):
    with pytest.raises(ProgramFailed) as caught:
        answer(server, source, *arguments, **callbacks)
    return caught.value


def refuse(*_):
    raise Refused("not this one")


# What an honest program can rely on.


def test_plain_data_and_arrays_cross_in_both_directions(server):
    source = "def f(x, query):\n    return query(x, scale=2)"
    found = answer(server, source, np.arange(3.0), query=lambda x, scale: (x * scale, {"n": x.size}))
    assert found[0].tolist() == [0, 2, 4]
    assert found[1] == {"n": 3}


def test_an_array_that_a_function_answers_is_read_only_if_it_was(server):
    source = "def f(ask):\n    return [ask(number).flags.writeable for number in range(2)]"
    assert answer(server, source, ask=lambda number: (np.zeros(3), np.broadcast_to(0.0, 3))[number]) == [True, False]


def test_a_program_can_search_by_asking(server):
    source = (
        "def f(n, smaller):\n"
        "    low = 0\n"
        "    while low < n:\n"
        "        middle = (low + n) // 2\n"
        "        low, n = (middle + 1, n) if smaller(middle) else (low, middle)\n"
        "    return low"
    )
    asked = []
    assert answer(server, source, 1000, smaller=lambda x: asked.append(x) or x < 613) == 613
    assert len(asked) <= 10


def test_each_call_is_lent_its_own(server):
    with SandboxedProgram(server, {"initial.py": "def f(query):\n    return query()"}, 0) as program:
        assert [program.call("f", callbacks={"query": lambda n=n: n}) for n in range(3)] == [0, 1, 2]


def test_a_refusal_is_an_exception_that_the_program_can_catch(server):
    source = (
        "def f(query):\n"
        "    found = []\n"
        "    for kind in (query.Refused, RuntimeError):\n"
        "        try:\n"
        "            query(1)\n"
        "        except kind as error:\n"
        "            found.append(str(error))\n"
        "    return found"
    )
    assert answer(server, source, query=refuse) == ["not this one"] * 2


def test_a_refusal_that_is_not_caught_is_the_programs_failure(server):
    failed = failure(server, "def f(query):\n    query()", query=refuse)
    assert failed.outcome is Outcome.CRASHED
    assert failed.feedback.endswith("Refused: not this one")


@pytest.mark.parametrize("arguments", ["", "1, 2", "y=1"])
def test_arguments_that_the_function_does_not_take_never_reach_it(server, arguments):
    failed = failure(server, f"def f(query):\n    query({arguments})", query=lambda x: 1 / 0)
    assert failed.outcome is Outcome.CRASHED
    assert "TypeError" in failed.feedback


def test_an_argument_that_cannot_cross_is_the_programs_mistake(server):
    failed = failure(server, "def f(query):\n    query(object())", query=lambda x: x)
    assert failed.outcome is Outcome.CRASHED
    assert "an object of type object cannot be sent" in failed.feedback


def test_threads_may_ask_at_once(server):
    source = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "def f(query):\n"
        "    with ThreadPoolExecutor(8) as pool:\n"
        "        return list(pool.map(query, range(200)))"
    )
    assert answer(server, source, query=lambda x: x * x) == [x * x for x in range(200)]


def test_the_programs_clocks_stand_still_while_the_function_runs():
    with ForkServer(SandboxSettings("initial.py", IMPATIENT, LEVELS[0])) as server:
        assert answer(server, "def f(query):\n    return query()", query=lambda: time.sleep(0.7) or 5) == 5


def test_a_function_of_c_without_a_signature_can_be_lent(server):
    assert answer(server, "def f(query):\n    return query(3, 5)", query=max) == 5


# What the evaluator can rely on.


@pytest.mark.parametrize("error", [Invalid("that will not do"), ZeroDivisionError("ours"), KeyboardInterrupt()])
def test_what_a_function_raises_goes_to_the_evaluator_and_the_program_is_gone(server, error):
    def raising():
        raise error

    with SandboxedProgram(server, {"initial.py": "def f(query):\n    query()\ndef g():\n    return 1"}, 0) as program:
        with pytest.raises(type(error)) as caught:
            program.call("f", callbacks={"query": raising})
        assert caught.value is error
        with pytest.raises(RuntimeError, match="the program was ended"):
            program.call("g")
    assert answer(server, "def f():\n    return 1") == 1


def test_a_value_that_cannot_cross_is_the_evaluators_mistake(server):
    with pytest.raises(TypeError, match="cannot be sent"):
        answer(server, "def f(query):\n    query()", query=object)


def test_a_function_cannot_call_the_program_meanwhile(server):
    program = SandboxedProgram(server, {"initial.py": "def f(query):\n    query()"}, 0)
    with program, pytest.raises(RuntimeError, match="a callback cannot call the program"):
        program.call("f", callbacks={"query": lambda: program.call("f")})


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"callbacks": {"two words": len}}, ValueError, "cannot be the name"),
        ({"callbacks": {"query": 5}}, TypeError, "must be a function, got an object of type int"),
        ({"callbacks": {"x": len}, "x": 1}, TypeError, "given twice"),
    ],
)
def test_what_cannot_be_lent_is_named(server, keywords, error, words):
    with SandboxedProgram(server, {"initial.py": "def f(**_): pass"}, 0) as program, pytest.raises(error, match=words):
        program.call("f", **keywords)


@pytest.mark.parametrize("name", ["max_calls", "max_bytes"])
def test_limits_are_positive(name):
    with pytest.raises(ValueError, match=f"{name} must be > 0, got 0"):
        Callback(len, **{name: 0})


# Limits and attacks.


def test_a_million_calls_end_at_the_limit(server):
    failed = failure(server, "def f(query):\n    for i in range(10**6):\n        query(i)", query=Callback(abs, max_calls=500))
    assert failed.outcome is Outcome.INVALID
    assert "called query more than max_calls = 500 times" in failed.feedback


def test_catching_everything_does_not_get_past_the_limit(server):
    asked = []
    source = "def f(query):\n    while True:\n        try:\n            query(1)\n        except BaseException:\n            pass"
    assert failure(server, source, query=Callback(asked.append, max_calls=5)).outcome is Outcome.INVALID
    assert len(asked) == 5


def test_arguments_above_the_limit_never_reach_the_function(server):
    asked = []
    failed = failure(server, "def f(query):\n    query(b'x' * 5000)", query=Callback(asked.append, max_bytes=4000))
    assert failed.outcome is Outcome.INVALID
    assert re.search(r"called query with 50\d\d bytes of arguments; max_bytes = 4000", failed.feedback)
    assert asked == []


def test_a_gigabyte_of_arguments_is_refused_unread(server):
    source = (
        "import os, struct\n"
        "def f(query):\n"
        "    os.write(3, struct.pack('>Q', 2**30))\n"
        "    while True:\n"
        "        os.write(3, bytes(2**16))"
    )
    failed = failure(server, source, query=len)
    assert failed.outcome is Outcome.INVALID
    assert "1024.0 MB, more than limits.max_reply_mb = 1" in failed.feedback


FORGE = """
import os, struct, msgpack
def f(value, query=None):
    payload = msgpack.packb(value)
    os.write(3, struct.pack(">Q", len(payload)) + payload)
    os.read(3, 100)
    os._exit(0)
"""


@pytest.mark.parametrize(
    "value",
    [["callback"], ["callback", 1], ["callback", 1, "query", [], {}], ["callback", [1], "query", 1, 1], ["callback"] * 5],
)
def test_a_request_out_of_shape_is_invalid(server, value):
    failed = failure(server, FORGE, value, query=lambda: 1 / 0)
    assert failed.outcome is Outcome.INVALID
    assert "not in the protocol" in failed.feedback


ASK = """
def ask(name, number, query):
    callbacks = query._callbacks
    callbacks._number = number
    callbacks.ask(name, (), {})
def f(name, number, query):
    ask(name, number, query)
"""


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("evil", 1, "called 'evil', which it was not lent; it was lent: query"),
        ("__class__", 1, "which it was not lent"),
        ("query", 0, "for another call than the present one"),
        ("query", 10**6, "for another call than the present one"),
    ],
)
def test_a_forged_name_or_number_is_invalid(server, name, number, words):
    failed = failure(server, ASK, name, number, query=lambda: 1 / 0)
    assert failed.outcome is Outcome.INVALID
    assert words in failed.feedback


def test_asking_on_without_reading_the_answers_is_invalid(server):
    asked = []
    source = (
        "import os, struct, msgpack\n"
        "def f(query):\n"
        "    tuple_mark = msgpack.ExtType(1, b'')\n"
        "    payload = msgpack.packb(['callback', 1, 'query', [tuple_mark], {}])\n"
        "    for _ in range(1000):\n"
        "        os.write(3, struct.pack('>Q', len(payload)) + payload)\n"
        "    while True: pass"
    )
    failed = failure(server, source, query=lambda: asked.append(1) or bytes(2**22))
    assert failed.outcome is Outcome.INVALID
    assert "answered before it had read what it was sent" in failed.feedback
    assert len(asked) == 1


def test_a_callback_is_dead_once_its_call_was_answered(server):
    source = (
        "kept = []\n"
        "def f(query):\n"
        "    kept.append(query)\n"
        "def g():\n"
        "    try:\n"
        "        kept[0]()\n"
        "    except RuntimeError as error:\n"
        "        return str(error)"
    )
    with SandboxedProgram(server, {"initial.py": source}, 0) as program:
        program.call("f", callbacks={"query": lambda: 1 / 0})
        assert program.call("g") == "query was lent for one call of this program, which has been answered"


def test_a_request_after_the_answer_fails_the_next_call(server):
    source = (
        "kept = []\n"
        "def f(query):\n"
        "    kept.append(query._callbacks)\n"
        "def g(query):\n"
        "    kept[0]._closed = False\n"
        "    kept[0].ask('query', (), {})\n"
    )
    with SandboxedProgram(server, {"initial.py": source}, 0) as program:
        program.call("f", callbacks={"query": lambda: 1 / 0})
        with pytest.raises(ProgramFailed, match="for another call than the present one"):
            program.call("g", callbacks={"query": lambda: 1 / 0})


def test_a_request_when_nothing_was_lent_is_invalid(server):
    failed = failure(server, FORGE, ["callback", 1, "query", [], {}])
    assert failed.outcome is Outcome.INVALID


def test_waiting_in_vain_after_a_callback_is_stopped_by_the_wall_clock():
    with ForkServer(SandboxSettings("initial.py", IMPATIENT, LEVELS[0])) as server:
        failed = failure(server, "import time\ndef f(query):\n    query()\n    time.sleep(600)", query=lambda: None)
    assert failed.outcome is Outcome.TIMED_OUT


def test_cpu_time_adds_up_over_callbacks():
    source = (
        "import time\n"
        "def f(query):\n"
        "    while True:\n"
        "        end = time.process_time() + 0.004\n"
        "        while time.process_time() < end: pass\n"
        "        query()"
    )
    limits = dataclasses.replace(IMPATIENT, wall_timeout_s=60.0)
    with ForkServer(SandboxSettings("initial.py", limits, LEVELS[0])) as server:
        failed = failure(server, source, query=lambda: None)
    assert failed.outcome is Outcome.TIMED_OUT
    assert "CPU" in failed.feedback
