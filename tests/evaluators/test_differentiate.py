"""Losses and functions of torch that are differentiated in the sandbox; all numbers are compared with torch in this process."""

import dataclasses

import numpy as np
import pytest

from evolve.evaluators.base import LossValue, ProgramFailed
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Outcome

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from torch_kit import LEVELS, LIMITS, one_thread  # noqa: E402, F401 - it needs torch; a fixture

from evolve.evaluators.differentiate import as_torch_function, as_torch_loss  # noqa: E402 - it needs torch

BALANCE = """
import torch
def aux_loss(gate_logits, load):
    shares = torch.softmax(gate_logits, -1).mean((0, 1))
    return shares.numel() * (shares * load).sum() + 1e-3 * torch.logsumexp(gate_logits, -1).square().mean()
"""
INPUTS = {"gate_logits": ((2, 16, 4), "float32"), "load": ((4,), "float32")}


@pytest.fixture(scope="module", params=LEVELS)
def server(request):
    with ForkServer(SandboxSettings("initial.py", LIMITS, request.param)) as server:
        yield server


@pytest.fixture(scope="module")
def one_server():
    with ForkServer(SandboxSettings("initial.py", LIMITS, LEVELS[-1])) as server:
        yield server


def here(source):
    """The loss of a program in this process."""
    namespace = {}
    exec(source, namespace)
    return namespace["aux_loss"]


def failure(server, returned):
    source = f"import torch\ndef aux_loss(gate_logits, load):\n    return {returned}"
    program = SandboxedProgram(server, {"initial.py": source}, 0)
    with program, pytest.raises(ProgramFailed) as caught, program.hooks() as hooks:
        hooks.bind_loss("aux_loss", INPUTS, differentiate=["gate_logits"])(**inputs(0))
    return caught.value


def inputs(seed):
    rng = np.random.default_rng(seed)
    return {
        "gate_logits": rng.normal(size=(2, 16, 4)).astype(np.float32),
        "load": rng.dirichlet(np.ones(4)).astype(np.float32),
    }


def test_value_and_gradients_are_those_of_torch_to_the_last_bit(server):
    with SandboxedProgram(server, {"initial.py": BALANCE}, 0) as program, program.hooks() as hooks:
        loss = hooks.bind_loss("aux_loss", INPUTS, differentiate=("gate_logits", "load"))
        for seed in range(5):
            found = loss(**inputs(seed))
            tensors = {name: torch.from_numpy(array).requires_grad_() for name, array in inputs(seed).items()}
            expected = here(BALANCE)(**tensors)
            expected.backward()
            assert found.value == expected.item()
            for name, tensor in tensors.items():
                assert np.array_equal(found.gradients[name], tensor.grad.numpy())


def test_an_input_that_the_loss_does_not_depend_on_has_gradient_zero(one_server):
    for returned in ("load.sum()", "torch.tensor(3.0)", "gate_logits.detach().sum()"):
        source = f"import torch\ndef aux_loss(gate_logits, load):\n    return {returned}"
        with SandboxedProgram(one_server, {"initial.py": source}, 0) as program, program.hooks() as hooks:
            loss = hooks.bind_loss("aux_loss", INPUTS, differentiate=["gate_logits"])
            assert not loss(**inputs(0)).gradients["gate_logits"].any()


def test_the_last_calls_gradients_do_not_add_up(one_server):
    with SandboxedProgram(one_server, {"initial.py": BALANCE}, 0) as program, program.hooks() as hooks:
        loss = hooks.bind_loss("aux_loss", INPUTS, differentiate=["gate_logits"])
        first, second = (loss(**inputs(0)).gradients["gate_logits"] for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("0.0", "aux_loss returned a float; expected a scalar torch tensor"),
        ("gate_logits", "a tensor of shape (2, 16, 4) and dtype torch.float32; expected a scalar"),
        ("gate_logits.argmax()", "dtype torch.int64; expected a scalar of floating-point numbers"),
        ("gate_logits.sum() / 0", "the value of aux_loss has 1 values of 1 that are not finite"),
        ("(gate_logits * 0).sqrt().sum()", "the gradient by gate_logits of aux_loss has 128 values of 128 that are not finite"),
    ],
)
def test_an_answer_that_does_not_fit_is_invalid(one_server, returned, words):
    failed = failure(one_server, returned)
    assert failed.outcome is Outcome.INVALID
    assert words in failed.feedback


def test_an_exception_inside_is_a_crash(one_server):
    failed = failure(one_server, "gate_logits @ load.T @ load")
    assert failed.outcome is Outcome.CRASHED
    assert 'File "initial.py", line 3, in aux_loss' in failed.feedback


@pytest.mark.parametrize("names", [[], ["n"], ["nothing"]])
def test_only_inputs_of_floating_point_numbers_can_be_differentiated_by(one_server, names):
    program = SandboxedProgram(one_server, {"initial.py": BALANCE}, 0)
    words = "inputs of floating-point numbers: x"
    with program, program.hooks() as hooks, pytest.raises(ValueError, match=words):
        hooks.bind_loss("aux_loss", {"x": ((2,), "float32"), "n": ((2,), "int64")}, differentiate=names)


def mixture(seed):
    """A linear gate over two linear experts, as one parameter list."""
    generator = torch.Generator().manual_seed(seed)
    return [(torch.randn(shape, generator=generator) / 2).requires_grad_() for shape in ((8, 2), (2, 8, 3))]


def train(aux_loss, steps=30):
    """Fits a two-expert mixture to random data; returns its parameters and the last loss."""
    gate, experts = mixture(0)
    optimizer = torch.optim.SGD([gate, experts], lr=0.1)
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn((16, 8), generator=generator), torch.randn((16, 3), generator=generator)
    for _ in range(steps):
        logits = x @ gate
        weights = torch.softmax(logits, -1)
        outputs = torch.einsum("tw,ewo,te->to", x, experts, weights)
        load = weights.detach().mean(0)
        # A power of two: gradients are multiplied after the loss's own chain rule there, before it here.
        loss = (outputs - y).square().mean() + 0.125 * aux_loss(gate_logits=logits[None], load=load)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return gate.detach(), experts.detach(), loss.detach()


def test_training_with_the_loss_in_the_sandbox_is_training_with_it_here(server):
    expected = train(here(BALANCE))
    shapes = {"gate_logits": ((1, 16, 2), "float32"), "load": ((2,), "float32")}
    with SandboxedProgram(server, {"initial.py": BALANCE}, 0) as program, program.hooks() as hooks:
        found = train(as_torch_loss(hooks.bind_loss("aux_loss", shapes, differentiate=["gate_logits"])))
    for mine, theirs in zip(found, expected, strict=True):
        assert torch.equal(mine, theirs)


class Doubled:
    """A loss of this process: the sum of twice its input."""

    def __init__(self):
        self.inputs = {"x": ((2,), "float32")}
        self.differentiate = ("x",)

    def __call__(self, *, x):
        return LossValue(float(x.sum() * 2), {"x": np.full(2, 2, x.dtype)})


def test_tensors_of_other_precision_are_converted_there_and_back():
    x = torch.tensor([1.0, 2.0], dtype=torch.bfloat16, requires_grad=True)
    value = as_torch_loss(Doubled())(x=x)
    (value * 3).backward()
    assert value.item() == 6.0
    assert value.dtype is torch.float32
    assert x.grad.dtype is torch.bfloat16
    assert x.grad.tolist() == [6.0, 6.0]


def test_a_part_of_an_accelerator_that_is_not_there_limits_nothing():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    settings = SandboxSettings("initial.py", dataclasses.replace(LIMITS, gpus=0.5), LEVELS[0])
    with ForkServer(settings) as server, SandboxedProgram(server, {"initial.py": "def f():\n    return 1"}, 0) as program:
        assert program.call("f") == 1


GATE = """
import torch
def gate(logits, bias, k):
    gates = torch.softmax(logits, -1)
    chosen = (gates.detach() + bias).topk(int(k), -1).indices
    mask = torch.zeros_like(gates, dtype=torch.bool).scatter(-1, chosen, True)
    weights = gates * mask
    return weights / weights.sum(-1, keepdim=True), mask, torch.logsumexp(logits, -1)
"""
GATE_INPUTS = {"logits": ((16, 4), "float32"), "bias": ((4,), "float32"), "k": ((), "int64")}
GATE_OUTPUTS = {"weights": ((16, 4), "float32"), "mask": ((16, 4), "bool"), "size": ((16,), "float32")}


def gate_here(**inputs):
    """The gate in this process."""
    namespace = {}
    exec(GATE, namespace)
    return namespace["gate"](**inputs)


SMALL = """
def f(x):
    return x * x * x
def g(x, z):
    return x * z, x.sum(), (x > 1)
def rooted(x):
    return x * 2, x.sqrt()
"""
SMALL_X = {"x": ((3,), "float64")}
SMALL_Y = {"y": ((3,), "float64")}
G_OUTPUTS = {"product": ((3,), "float64"), "sum": ((), "float64"), "large": ((3,), "bool")}


@pytest.fixture
def bound(one_server):
    """Binds functions of a program at the strongest level, to be differentiated by its first input unless said otherwise."""
    with SandboxedProgram(one_server, {"initial.py": GATE + SMALL}, 0) as program, program.hooks() as hooks:

        def bind(function="f", inputs=SMALL_X, outputs=SMALL_Y, differentiate=("x",)):
            return hooks.bind_tensors(function, inputs, outputs, differentiate=differentiate)

        yield bind


def gated(gate, seed=0):
    """Outputs of a gate, and gradients by its logits of something made of two of them."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((16, 4), generator=generator).requires_grad_()
    weights, mask, size = gate(logits=logits, bias=torch.randn(4, generator=generator), k=torch.tensor(2))
    value = (weights * torch.randn((16, 4), generator=generator)).square().sum() + size.square().mean()
    return [weights, mask, size, *torch.autograd.grad(value, logits)]


def test_a_function_and_its_gradients_are_those_of_torch_to_the_last_bit(server):
    with SandboxedProgram(server, {"initial.py": GATE}, 0) as program, program.hooks() as hooks:
        gate = as_torch_function(hooks.bind_tensors("gate", GATE_INPUTS, GATE_OUTPUTS, differentiate=["logits"]))
        for seed in range(5):
            for found, expected in zip(gated(gate, seed), gated(gate_here, seed), strict=True):
                assert torch.equal(found, expected)
                assert found.requires_grad is expected.requires_grad
                assert found.dtype is expected.dtype


def trained(gates, steps=20):
    """Trains layers of gated experts, one gate for each; returns the parameters and the last loss."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 4), (4, 8, 8)] * len(gates)
    parameters = [(torch.randn(shape, generator=generator) / 4).requires_grad_() for shape in shapes]
    optimizer = torch.optim.SGD(parameters, lr=0.05)
    x, y = torch.randn((16, 8), generator=generator), torch.randn((16, 8), generator=generator)
    for _ in range(steps):
        hidden, penalty = x, torch.zeros(())
        for gate, router, experts in zip(gates, parameters[::2], parameters[1::2], strict=True):
            weights, mask, size = gate(logits=hidden @ router, bias=torch.zeros(4), k=torch.tensor(2))
            hidden = hidden + torch.einsum("td,edf,te->tf", hidden, experts, weights * mask)
            penalty = penalty + size.square().mean()
        loss = (hidden - y).square().mean() + 2.0**-7 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [*(parameter.detach() for parameter in parameters), loss.detach()]


def test_training_with_layers_in_the_sandbox_is_training_with_them_here(bound):
    gates = [as_torch_function(bound("gate", GATE_INPUTS, GATE_OUTPUTS, ["logits"])) for _ in range(3)]
    for found, expected in zip(trained(gates), trained([gate_here] * 3), strict=True):
        assert torch.equal(found, expected)


def test_outputs_come_in_order_and_only_floating_point_ones_have_gradients(bound):
    g = as_torch_function(bound("g", SMALL_X | {"z": ((3,), "float64")}, G_OUTPUTS, ["x", "z"]))
    x, z = torch.tensor([1.0, 2.0, 3.0]).double().requires_grad_(), torch.ones(3).double().requires_grad_()
    product, total, large = g(x=x, z=z)
    assert (product.tolist(), total.item(), large.tolist()) == ([1, 2, 3], 6, [False, True, True])
    assert (product.requires_grad, total.requires_grad, large.requires_grad) == (True, True, False)
    (product.sum() + 10 * total).backward()
    assert x.grad.tolist() == [11, 11, 11]
    assert z.grad.tolist() == [1, 2, 3]


def test_an_output_that_nothing_is_made_of_adds_no_nan(bound):
    rooted = as_torch_function(bound("rooted", outputs=SMALL_Y | {"root": ((3,), "float64")}))
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    rooted(x=x)[0].sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


def test_an_input_that_is_not_differentiated_by_gets_no_gradient(bound):
    hook = bound("g", SMALL_X | {"z": ((3,), "float64")}, G_OUTPUTS)
    g = as_torch_function(hook)
    x, z = torch.ones(3).double(), torch.ones(3).double().requires_grad_()
    assert not any(output.requires_grad for output in g(x=x, z=z))
    x.requires_grad_()
    g(x=x, z=z)[0].sum().backward()
    assert x.grad is not None
    assert z.grad is None


def test_nothing_is_taken_back_where_nothing_needs_it(bound):
    hook = bound()
    f = as_torch_function(hook)
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        assert not f(x=x)[0].requires_grad
    assert not f(x=x.detach())[0].requires_grad
    plain = as_torch_function(bound(differentiate=()))
    assert not plain(x=x)[0].requires_grad
    # The graph is still there: nobody has used it.
    assert hook.pull_back(y=np.ones(3))["x"].tolist() == [3, 3, 3]


def test_a_call_in_between_is_an_error_whichever_comes_back_first(bound):
    f = as_torch_function(bound())
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    first, second = f(x=x)[0].sum(), f(x=2 * x)[0].sum()
    with pytest.raises(ValueError, match=r"f was called again before gradients were taken back through its call.*bind"):
        first.backward()
    second.backward()
    assert x.grad.tolist() == [24, 24, 24]
    third = f(x=x)[0].sum()
    with torch.no_grad():
        f(x=x)
    with pytest.raises(ValueError, match="f was called again"):
        third.backward()


def test_gradients_of_a_function_are_taken_once(bound):
    f = as_torch_function(bound())
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    total = f(x=x)[0].sum()
    total.backward(retain_graph=True)
    with pytest.raises(ValueError, match="f has no call to take gradients back through"):
        total.backward()


def test_second_derivatives_of_a_function_are_refused(bound):
    f = as_torch_function(bound())
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(f(x=x)[0].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_a_functions_tensors_are_converted_there_and_back(bound):
    f = as_torch_function(bound())
    x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.bfloat16, requires_grad=True)
    (y,) = f(x=x)
    assert y.dtype is torch.float64
    y.sum().backward()
    assert x.grad.dtype is torch.bfloat16
    assert x.grad.tolist() == [3, 12, 27]


def test_tensors_of_any_layout_go_in_and_come_back(bound):
    f = as_torch_function(bound(inputs={"x": ((2, 3), "float64")}, outputs={"y": ((2, 3), "float64")}))
    x = torch.arange(6.0, dtype=torch.float64).view(3, 2).T.requires_grad_()
    (y,) = f(x=x)
    y.backward(torch.ones(1, 1, dtype=torch.float64).expand(2, 3))
    assert torch.equal(x.grad, 3 * x.detach().square())


def test_a_program_that_fails_in_its_derivative_fails_the_backward_pass(one_server):
    source = "def f(x):\n    x.register_hook(lambda gradient: 1 / 0)\n    return x * 2"
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    with SandboxedProgram(one_server, {"initial.py": source}, 0) as program, program.hooks() as hooks:
        (y,) = as_torch_function(hooks.bind_tensors("f", SMALL_X, SMALL_Y, differentiate=["x"]))(x=x)
        with pytest.raises(ProgramFailed, match="an exception in pull_back of f") as caught:
            y.sum().backward()
    assert caught.value.outcome is Outcome.CRASHED
    assert x.grad is None


def test_wrong_arguments_of_a_function_are_named(bound):
    f = as_torch_function(bound())
    with pytest.raises(TypeError, match="f takes x; got z"):
        f(z=torch.ones(3))
    with pytest.raises(TypeError, match="f takes x; got nothing"):
        f()
    with pytest.raises(ValueError, match=r"input x has shape \(2,\)"):
        f(x=torch.ones(2))
