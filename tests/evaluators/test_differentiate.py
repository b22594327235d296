"""Losses of torch that are differentiated in the sandbox; all numbers are compared with torch in this process."""

import dataclasses

import numpy as np
import pytest

from evolve.evaluators.base import LossValue, ProgramFailed
from evolve.evaluators.sandbox import available_levels
from evolve.evaluators.sandbox.program import SandboxedProgram
from evolve.evaluators.sandbox.server import ForkServer, SandboxSettings
from evolve.program import Limits, Outcome

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from evolve.evaluators.differentiate import as_torch_loss  # noqa: E402 - it needs torch

LIMITS = Limits(timeout_s=30.0, wall_timeout_s=120.0, memory_mb=1024, preload=("numpy", "torch"))
LEVELS = [report.level for report in available_levels() if report.available]
BALANCE = """
import torch
def aux_loss(gate_logits, load):
    shares = torch.softmax(gate_logits, -1).mean((0, 1))
    return shares.numel() * (shares * load).sum() + 1e-3 * torch.logsumexp(gate_logits, -1).square().mean()
"""
INPUTS = {"gate_logits": ((2, 16, 4), "float32"), "load": ((4,), "float32")}


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in the order that the sandbox has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
