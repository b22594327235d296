"""Hooks of tensors and gradients taken back through them; all numbers are compared with torch in this process."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from evolve.evaluators.base import ProgramFailed
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Outcome

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from torch_kit import LEVELS, LIMITS, one_thread  # noqa: E402, F401 - it needs torch; a fixture

X = {"x": ((3,), "float32")}
Y = {"y": ((3,), "float32")}
ONES = np.ones(3, np.float32)
ROUTE = """
import torch
def route(logits, bias, k):
    gates = torch.softmax(logits, -1)
    chosen = (gates + bias).topk(int(k), -1).indices
    mask = torch.zeros_like(gates, dtype=torch.bool).scatter(-1, chosen, True)
    weights = gates * mask
    return weights / weights.sum(-1, keepdim=True), mask, mask.sum(0), torch.logsumexp(logits, -1).square()
"""
ROUTE_INPUTS = {"logits": ((16, 4), "float32"), "bias": ((4,), "float32"), "k": ((), "int64")}
ROUTE_OUTPUTS = {
    "weights": ((16, 4), "float32"),
    "mask": ((16, 4), "bool"),
    "counts": ((4,), "int64"),
    "size": ((16,), "float32"),
}


@pytest.fixture(scope="module", params=LEVELS)
def server(request):
    with ForkServer(SandboxSettings("initial.py", LIMITS, request.param)) as server:
        yield server


@pytest.fixture(scope="module")
def one_server():
    with ForkServer(SandboxSettings("initial.py", LIMITS, LEVELS[-1])) as server:
        yield server


@pytest.fixture
def program(one_server):
    """Makes programs of a source, at the strongest level; they end with the test."""
    made = []

    def make(source):
        made.append(SandboxedProgram(one_server, {"initial.py": f"import torch\n{source}"}, 0))
        return made[-1]

    yield make
    for one in made:
        one.__exit__(None, None, None)


def bound(hooks, inputs=X, outputs=Y, differentiate=("x",), **options):
    return hooks.bind_tensors("f", inputs=inputs, outputs=outputs, differentiate=differentiate, **options)


def failure(program, outputs=Y):
    """Calls ``f`` of a program and takes gradients back through it; returns how it failed."""
    with pytest.raises(ProgramFailed) as caught, program.hooks() as hooks:
        there_and_back(bound(hooks, outputs=outputs))
    return caught.value


def there_and_back(hook):
    hook(x=ONES)
    return hook.pull_back(y=ONES)


def routed(seed):
    rng = np.random.default_rng(seed)
    logits, bias = rng.normal(size=(16, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    return {"logits": logits, "bias": bias, "k": np.array(2)}, {
        "weights": rng.normal(size=(16, 4)).astype(np.float32),
        "size": rng.normal(size=16).astype(np.float32),
    }


def here(source, function):
    """A function of a program in this process."""
    namespace = {}
    exec(source, namespace)
    return namespace[function]


# What an honest program and its evaluator can rely on.


def test_outputs_and_gradients_are_those_of_torch_to_the_last_bit(server):
    with SandboxedProgram(server, {"initial.py": ROUTE}, 0) as program, program.hooks() as hooks:
        route = hooks.bind_tensors("route", ROUTE_INPUTS, ROUTE_OUTPUTS, differentiate=["logits", "bias"])
        for seed in range(5):
            inputs, cotangents = routed(seed)
            found, gradients = route(**inputs), route.pull_back(**cotangents)
            tensors = {name: torch.from_numpy(array).requires_grad_(array.ndim > 0) for name, array in inputs.items()}
            weights, mask, counts, size = here(ROUTE, "route")(**tensors)
            torch.autograd.backward([weights, size], [torch.from_numpy(cotangents[name]) for name in ("weights", "size")])
            for name, tensor in {"weights": weights, "mask": mask, "counts": counts, "size": size}.items():
                assert np.array_equal(found[name], tensor.detach().numpy())
                assert found[name].dtype == ROUTE_OUTPUTS[name][1]
            assert np.array_equal(gradients["logits"], tensors["logits"].grad.numpy())
            assert not gradients["bias"].any()


PRECISIONS = st.sampled_from(["float16", "float32", "float64"])
SHAPES = st.just(()) | array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=3)


def test_arrays_of_every_shape_and_precision_go_in_and_come_back(program):
    with program("def f(x):\n    return 2 * x, x > 0").hooks() as hooks:

        @settings(max_examples=40, deadline=None)
        @given(shape=SHAPES, taken=PRECISIONS, returned=PRECISIONS)
        def check(shape, taken, returned):
            # Small integers: exact in every precision, twice as much as well.
            x, cotangent = np.random.default_rng(0).integers(-9, 9, (2, *shape))
            f = bound(hooks, {"x": (shape, taken)}, {"y": (shape, returned), "positive": (shape, "bool")})
            found = f(x=x.astype(taken))
            assert_same(found["y"], (2 * x).astype(returned))
            assert_same(found["positive"], x > 0)
            assert_same(f.pull_back(y=cotangent.astype(returned))["x"], (2 * cotangent).astype(taken))

        check()


def assert_same(array, expected):
    assert array.dtype == expected.dtype
    assert array.shape == expected.shape
    assert np.array_equal(array, expected)


def test_a_hook_says_what_it_was_bound_with(program):
    with program("def f(x):\n    return x").hooks() as hooks:
        f = bound(hooks)
        assert (f.function, f.inputs, f.outputs, f.differentiate, f.calls) == ("f", X, Y, ("x",), 0)
        f(x=ONES)
        assert f.calls == 1


@pytest.mark.parametrize("returned", ["(x * 2, x > 1)", "[x * 2, x > 1]", "{'large': x > 1, 'twice': x * 2}"])
def test_several_outputs_come_as_a_sequence_or_by_name(program, returned):
    outputs = {"twice": ((3,), "float32"), "large": ((3,), "bool")}
    with program(f"def f(x):\n    return {returned}").hooks() as hooks:
        f = bound(hooks, outputs=outputs)
        found = f(x=np.float32([0, 1, 2]))
        assert found["twice"].tolist() == [0, 2, 4]
        assert found["large"].tolist() == [False, False, True]
        assert f.pull_back(twice=ONES)["x"].tolist() == [2, 2, 2]


def test_an_output_without_a_cotangent_counts_for_nothing(program):
    outputs = Y | {"root": ((3,), "float32")}
    # At 0 the root's derivative is infinite: times zero that would be NaN.
    with program("def f(x):\n    return x * 3, x.sqrt()").hooks() as hooks:
        f = bound(hooks, outputs=outputs)
        f(x=0 * ONES)
        assert f.pull_back(y=ONES)["x"].tolist() == [3, 3, 3]
        f(x=ONES)
        assert f.pull_back(root=ONES)["x"].tolist() == [0.5, 0.5, 0.5]
        f(x=ONES)
        assert f.pull_back(root=ONES, y=ONES)["x"].tolist() == [3.5, 3.5, 3.5]
        f(x=ONES)
        assert f.pull_back()["x"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("returned", ["torch.ones(3)", "x.detach()", "n.float()", "n", "{'y': n + 1}"])
def test_what_does_not_depend_on_an_input_has_gradient_zero(program, returned):
    with program(f"def f(x, n):\n    return {returned}").hooks() as hooks:
        f = bound(hooks, inputs=X | {"n": ((3,), "int64")})
        f(x=ONES, n=np.arange(3))
        assert f.pull_back(y=ONES)["x"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("returned", ["x", "x[:]", "x.view(3, 1)[:, 0]"])
def test_an_input_may_be_the_output(program, returned):
    with program(f"def f(x):\n    return {returned}").hooks() as hooks:
        f = bound(hooks)
        assert f(x=ONES * 4)["y"].tolist() == [4, 4, 4]
        assert f.pull_back(y=ONES * 5)["x"].tolist() == [5, 5, 5]


def test_another_precision_inside_is_converted_there_and_back(program):
    with program("def f(x):\n    return x.double() * 2, x.bfloat16() * 2").hooks() as hooks:
        f = bound(hooks, outputs=Y | {"half": ((3,), "float16")})
        assert f(x=ONES)["half"].dtype == np.float16
        gradient = f.pull_back(y=ONES, half=np.ones(3, np.float16))["x"]
    assert gradient.dtype == np.float32
    assert gradient.tolist() == [4, 4, 4]


def test_nothing_differentiated_needs_no_graph(program):
    with program("weight = torch.ones(3, requires_grad=True)\ndef f(x):\n    return x * weight").hooks() as hooks:
        f = bound(hooks, differentiate=())
        assert f(x=ONES)["y"].tolist() == [1, 1, 1]
        with pytest.raises(ValueError, match="f was bound with nothing to differentiate by"):
            f.pull_back(y=ONES)
    with program("def f(x):\n    return torch.tensor(torch.is_grad_enabled())").hooks() as hooks:
        assert not bound(hooks, outputs={"grad": ((), "bool")}, differentiate=())(x=ONES)["grad"]


def test_gradients_are_there_although_the_program_has_switched_them_off(program):
    with program("torch.set_grad_enabled(False)\ndef f(x):\n    return x * 2").hooks() as hooks:
        f = bound(hooks)
        f(x=ONES)
        assert f.pull_back(y=ONES)["x"].tolist() == [2, 2, 2]


def test_all_hooks_of_a_program_wait_for_gradients_together(program):
    with program("def f(x):\n    return x * x\ndef g(x):\n    return x ** 3").hooks() as hooks:
        layers = [bound(hooks) for _ in range(3)]
        loss = hooks.bind_loss("g", {"x": ((), "float32")}, differentiate=["x"])
        plain = hooks.bind("g", {"x": ((), "float32")}, {"y": ((), "float32")})
        for scale, layer in enumerate(layers, 1):
            layer(x=ONES * scale)
        assert loss(x=np.float32(2)).gradients["x"] == 12
        assert plain(x=np.float32(2))["y"] == 8
        gradients = [layer.pull_back(y=ONES)["x"].tolist() for layer in reversed(layers)]
    assert gradients == [[6, 6, 6], [4, 4, 4], [2, 2, 2]]


def test_the_graph_is_gone_after_it_was_used_and_with_the_next_call(program):
    source = """
import weakref
seen = []
def f(x):
    y = x * x
    seen.append(weakref.ref(y))
    return y
def alive():
    return [ref() is not None for ref in seen]
"""
    one = program(source)
    with one.hooks() as hooks:
        f = bound(hooks)
        f(x=ONES)
        f(x=ONES)
        assert one.call("alive") == [False, True]
        f.pull_back(y=ONES)
        assert one.call("alive") == [False, False]


def test_not_a_number_passes_in_outputs_where_it_may_and_never_in_gradients(program):
    one = program("def f(x):\n    return x * float('nan')")
    with one.hooks() as hooks:
        f = bound(hooks, finite=False)
        assert np.isnan(f(x=ONES)["y"]).all()
        with pytest.raises(ProgramFailed, match="the gradient by x of f has 3 values of 3 that are not finite"):
            f.pull_back(y=ONES)


# What is said of a failure.


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("x[:2]", "f returned y: a tensor of shape (2,); expected a tensor of shape (3,) and dtype torch.float32"),
        ("x[:1]", "y: a tensor of shape (1,)"),
        ("x.sum()", "y: a tensor of shape ()"),
        ("x * 1j", "y: a tensor of dtype torch.complex64; expected a tensor of shape (3,)"),
        ("x.tolist()", "y: a list; expected a tensor"),
        ("x.detach().numpy()", "y: a ndarray; expected a tensor"),
        ("(x,)", "y: a tuple; expected a tensor"),
        ("{'z': x}", "a dict with z; expected y"),
        ("x / 0", "output y of f has 3 values of 3 that are not finite (the first, at [0], is inf)"),
        ("x.double() * 1e300", "output y of f has 3 values of 3 that are not finite"),
        ("(x * 0).sqrt()", "the gradient by x of f has 3 values of 3 that are not finite (the first, at [0], is nan)"),
    ],
)
def test_an_answer_that_does_not_fit_is_invalid(program, returned, words):
    failed = failure(program(f"def f(x):\n    return {returned}"))
    assert failed.outcome is Outcome.INVALID
    assert words in failed.feedback


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("x", "f returned a Tensor; expected 2 tensors: y, n"),
        ("(x,)", "a tuple of 1; expected 2 tensors: y, n"),
        ("(x, x)", "n: a tensor of dtype torch.float32; expected a tensor of shape (3,) and dtype torch.int64"),
    ],
)
def test_several_outputs_that_do_not_fit_are_named(program, returned, words):
    failed = failure(program(f"def f(x):\n    return {returned}"), outputs=Y | {"n": ((3,), "int64")})
    assert failed.outcome is Outcome.INVALID
    assert words in failed.feedback


BACKWARD = """
class Own(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x * 2
    @staticmethod
    def backward(context, gradient):
        {body}
def f(x):
    return Own.apply(x)
"""


@pytest.mark.parametrize(
    ("body", "outcome", "words"),
    [
        ("return gradient[:2]", Outcome.CRASHED, "in pull_back of f:"),
        ("return torch.ones(4)", Outcome.CRASHED, "invalid gradient"),
        ("return gradient, gradient", Outcome.CRASHED, "gradients (expected 1, got 2)"),
        ("return 7", Outcome.CRASHED, "in pull_back of f:"),
        ("return torch.eye(3)[0].to_sparse()", Outcome.CRASHED, "in pull_back of f:"),
        ("raise KeyError('mine')", Outcome.CRASHED, "line 9, in backward"),
        ("raise SystemExit(0)", Outcome.CRASHED, "SystemExit"),
        ("import os; os._exit(3)", Outcome.CRASHED, "exited with status 3"),
        ("return gradient * float('inf')", Outcome.INVALID, "the gradient by x of f has 3 values of 3 that are not finite"),
    ],
)
def test_a_derivative_of_the_programs_own_may_be_garbage(program, body, outcome, words):
    failed = failure(program(BACKWARD.format(body=body)))
    assert failed.outcome is outcome
    assert words in failed.feedback


def test_a_derivative_of_the_programs_own_counts_as_it_is(program):
    with program(BACKWARD.format(body="return gradient * 7")).hooks() as hooks:
        f = bound(hooks)
        f(x=ONES)
        assert f.pull_back(y=ONES)["x"].tolist() == [7, 7, 7]


def test_an_exception_shows_its_traceback(program):
    failed = failure(program("def f(x):\n    return x[7]"))
    assert failed.outcome is Outcome.CRASHED
    assert "an exception in f:" in failed.feedback
    assert 'File "initial.py", line 3, in f' in failed.feedback


def test_an_input_that_is_differentiated_by_cannot_be_changed_in_place(program):
    failed = failure(program("def f(x):\n    x.mul_(2)\n    return x"))
    assert failed.outcome is Outcome.CRASHED
    assert "in-place operation" in failed.feedback


# Mistakes of the evaluator.


@pytest.mark.parametrize(
    ("inputs", "outputs", "differentiate", "words"),
    [
        (X, {}, ["x"], "f: no outputs are declared"),
        (X, Y, ["z"], "f: differentiate names z; inputs of floating-point numbers: x"),
        ({"n": ((3,), "int64")}, Y, ["n"], "f: differentiate names n; inputs of floating-point numbers: none"),
        (X, {"mask": ((3,), "bool"), "c": ((3,), "complex64")}, ["x"], "f: no output has floating-point numbers"),
        (X | {"n": ((3,), "uint16")}, Y, [], "n has dtype uint16, which not every torch has"),
        (X, {"n": ((3,), "uint64")}, [], "n has dtype uint64, which not every torch has"),
        (X, {"y": ((2**18,), "float32")}, ["x"], "shared_mb = 1 is too small: f needs 2097"),
    ],
)
def test_what_cannot_be_bound_is_named(program, inputs, outputs, differentiate, words):
    with program("def f(x): pass").hooks(shared_mb=1) as hooks, pytest.raises(ValueError, match=words):
        bound(hooks, inputs, outputs, differentiate)


def test_gradients_are_taken_back_once_after_each_call(program):
    with program("def f(x):\n    return x * x").hooks() as hooks:
        f = bound(hooks)
        with pytest.raises(ValueError, match="f has no call to take gradients back through"):
            f.pull_back(y=ONES)
        f(x=ONES)
        f.pull_back(y=ONES)
        with pytest.raises(ValueError, match="f has no call to take gradients back through"):
            f.pull_back(y=ONES)
        f(x=ONES * 2)
        assert f.pull_back(y=ONES)["x"].tolist() == [4, 4, 4]


def test_a_call_that_was_refused_leaves_no_graph_behind(program):
    # The first of its inputs has been written over when the second is refused.
    with program("def f(x, z):\n    return x * z").hooks() as hooks:
        f = bound(hooks, inputs=X | {"z": ((3,), "float32")}, differentiate=["x", "z"])
        f(x=ONES, z=ONES)
        with pytest.raises(ValueError, match="input z has shape"):
            f(x=ONES * 9, z=np.ones(2, np.float32))
        with pytest.raises(ValueError, match="no call to take gradients back through"):
            f.pull_back(y=ONES)


@pytest.mark.parametrize(
    ("cotangents", "error", "words"),
    [
        ({"mask": np.ones(3, bool)}, TypeError, "pull_back of f takes y, each or not; got mask"),
        ({"y": ONES, "z": ONES}, TypeError, "takes y, each or not; got y, z"),
        ({"y": np.ones(2, np.float32)}, ValueError, r"input y has shape \(2,\) and dtype float32; it was declared"),
        ({"y": np.ones(3)}, ValueError, "dtype float64; it was declared"),
    ],
)
def test_other_cotangents_than_declared_are_refused_and_the_graph_stays(program, cotangents, error, words):
    with program("def f(x):\n    return x * 2, x > 0").hooks() as hooks:
        f = bound(hooks, outputs=Y | {"mask": ((3,), "bool")})
        f(x=ONES)
        with pytest.raises(error, match=words):
            f.pull_back(**cotangents)
        assert f.pull_back(y=ONES)["x"].tolist() == [2, 2, 2]


def test_closed_hooks_say_so(program):
    with program("def f(x):\n    return x").hooks() as hooks:
        f = bound(hooks)
        f(x=ONES)
    with pytest.raises(ValueError, match="the hooks are closed"):
        f.pull_back(y=ONES)
    with pytest.raises(ValueError, match="the hooks are closed"):
        f(x=ONES)
    with pytest.raises(ValueError, match="the hooks are closed"):
        bound(hooks)


# Attacks.


def test_an_input_changed_in_place_changes_nothing_outside(program):
    with program("def f(x, z):\n    z.fill_(9)\n    return x * z").hooks() as hooks:
        f = bound(hooks, inputs=X | {"z": ((3,), "float32")})
        z = ONES.copy()
        for _ in range(2):
            assert f(x=ONES, z=z)["y"].tolist() == [9, 9, 9]
            assert f.pull_back(y=ONES)["x"].tolist() == [9, 9, 9]
        assert z.tolist() == [1, 1, 1]


def test_memory_changed_between_call_and_gradients_changes_only_what_is_copied_later(program):
    source = """
kept = []
def f(x):
    kept.append(x.detach())
    return x * 2
def spoil():
    kept[0].fill_(float("nan"))
    return 0
"""
    one = program(source)
    with one.hooks() as hooks:
        f = bound(hooks)
        found = f(x=ONES)["y"]
        one.call("spoil")
        assert f.pull_back(y=ONES)["x"].tolist() == [2, 2, 2]
        assert found.tolist() == [2, 2, 2]


def test_scribbling_over_the_memory_meanwhile_is_caught_after_the_copy(program):
    source = """
import ctypes, threading, time
def scribble(address):
    while True:
        ctypes.memset(address, 255, 4096)
class Own(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x * 1, x > 0
    @staticmethod
    def backward(context, gradient, _):
        threading.Thread(target=scribble, args=(address,), daemon=True).start()
        time.sleep(0.05)
        return gradient
def f(x):
    global address
    address = x.data_ptr()
    return Own.apply(x)
"""
    failed = failure(program(source), outputs=Y | {"mask": ((3,), "bool")})
    assert failed.outcome is Outcome.INVALID
    assert "the gradient by x of f has" in failed.feedback


def test_scribbled_flags_are_flags(program):
    source = """
import ctypes, threading
def scribble(address):
    while True:
        for byte in (0, 127):
            ctypes.memset(address, byte, 4096)
def f(x):
    if threading.active_count() == 1:
        threading.Thread(target=scribble, args=(x.data_ptr(),), daemon=True).start()
    return x > 0
"""
    with program(source).hooks() as hooks:
        f = bound(hooks, outputs={"mask": ((3,), "bool")}, differentiate=())
        for _ in range(200):
            assert f(x=ONES)["mask"].view(np.uint8).max() <= 1


WRITE = "import os, struct, msgpack\ndef frame(payload):\n    return struct.pack('>Q', len(payload)) + payload\n"


@pytest.mark.parametrize(
    ("message", "words"),
    [
        # The call's own message: number 0, first turn; the pull_back's would be number 1.
        (r"struct.pack('>cxHI', b'\xc1', 0, 1)", "pull_back of f was answered out of turn"),
        (r"struct.pack('>cxHI', b'\xc1', 1, 2)", "pull_back of f was answered out of turn"),
        ("msgpack.packb(['ok', {'x': [0, 0, 0]}])", "answered with a value, not through the shared memory"),
        ("msgpack.packb(['unfit', [1]])", "not in the protocol"),
        ("b''", "cannot be read"),
    ],
)
def test_gradients_answered_out_of_turn_are_invalid(program, message, words):
    body = f"os.write(3, frame({message})); os._exit(0)"
    failed = failure(program(WRITE + BACKWARD.format(body=body)))
    assert failed.outcome is Outcome.INVALID
    assert words in failed.feedback


def test_gradients_answered_before_they_are_asked_for_are_noticed(program):
    source = WRITE + "def f(x):\n    os.write(3, frame(struct.pack('>cxHI', b'\\xc1', 0, 1)))\n    return x"
    failed = failure(program(source))
    assert failed.outcome is Outcome.INVALID
    assert "pull_back of f was answered out of turn" in failed.feedback


def test_a_number_that_another_hook_has_is_noticed_when_it_is_bound(program):
    source = WRITE + (
        "def __getattr__(name):\n    if name == 'f':\n        os.write(3, frame(msgpack.packb(['ok', 1]))); os._exit(0)\n"
        "    raise AttributeError(name)"
    )
    with pytest.raises(ProgramFailed, match="f was bound out of turn"), program(source).hooks() as hooks:
        bound(hooks)


def test_time_in_gradients_counts(one_server):
    hasty = dataclasses.replace(LIMITS, timeout_s=0.5)
    source = "import torch\n" + BACKWARD.format(body="\n        while True: pass")
    with (
        ForkServer(SandboxSettings("initial.py", hasty, LEVELS[-1])) as server,
        SandboxedProgram(server, {"initial.py": source}, 0) as program,
    ):
        failed = failure(program)
    assert failed.outcome is Outcome.TIMED_OUT
    assert not failed.timing_dependent
