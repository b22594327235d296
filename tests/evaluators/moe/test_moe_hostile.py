"""Programs that try to be scored for something else than their routing.

None of what they try is forbidden by a rule that somebody could get around: model, optimiser, text and clock are in another
process, which sees of a program only the arrays that its hooks return. The programs raise as soon as they get hold of anything,
so that a training that equals the honest program's to the last bit says that they did not.
"""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import TINY, one_thread, written  # noqa: E402, F401 - it needs torch; a fixture
from moe_sandbox_kit import opened, server  # noqa: E402 - see above

from evolve.evaluators.base import Invalid, ProgramFailed  # noqa: E402 - after what may skip
from evolve.evaluators.moe.corpus import load_corpus, pack  # noqa: E402 - see above
from evolve.evaluators.moe.guards import check_repeats  # noqa: E402 - it needs torch
from evolve.evaluators.moe.trainer import train  # noqa: E402 - see above
from evolve.evaluators.sandbox import available_levels  # noqa: E402 - see above
from evolve.program import Isolation, Outcome  # noqa: E402 - see above

pytestmark = pytest.mark.skipif(
    not any(report.available and report.level is not Isolation.PROCESS for report in available_levels()),
    reason="without Landlock a program reads all files: nothing is claimed for that level",
)

#: Attacks in every hook, before and after its work.
BODY = """
import torch

def score(logits, bias):
    attack("score", [bias], before=True)
    gates = logits.sigmoid()
    selection = gates + bias
    attack("score", [logits, bias])
    return selection, gates

def gate(gates, mask):
    weights = gates * mask
    attack("gate", [mask.clone()])
    return weights / weights.sum(-1, keepdim=True)

def loss(load, probability):
    value = 4 * (load.clone() * probability).sum(-1).mean()
    attack("loss", [load])
    return value

def update(counts, bias, memory):
    changed = bias + 0.01 * (counts.mean(-1, keepdim=True) - counts).sign(), memory.clone()
    attack("update", [counts, bias, memory])
    return changed
"""
HONEST = "def attack(hook, inputs, before=False): pass\n"


def attacking(text):
    """A program with an attack: the body of a function that knows the hook and inputs that are not needed any more."""
    lines = "".join(f"    {line}\n" for line in text.strip().splitlines())
    return f"def attack(hook, inputs, before=False):\n{lines}{BODY}"


@pytest.fixture(scope="module")
def one_server():
    with server() as one:
        yield one


@pytest.fixture(scope="module")
def honest():
    """What the honest program comes to, in this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield train(written(HONEST + BODY), TINY, seed=0)
    torch.set_num_threads(threads)


def assert_gains_nothing(one_server, honest, source):
    with opened(one_server, source) as method:
        found = train(method, TINY, seed=0)
    assert found.losses == honest.losses
    assert np.array_equal(found.loads, honest.loads)
    assert found.spent == honest.spent
    assert [one.cross_entropy for one in found.checkpoints] == [one.cross_entropy for one in honest.checkpoints]
    weights = honest.model.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in found.model.state_dict().items())


def test_the_honest_program_comes_to_the_same_in_the_sandbox(one_server, honest):
    assert_gains_nothing(one_server, honest, HONEST + BODY)


# More training than others.

# The package is hidden from the sandbox, and there would be no model to train: it is in the worker's memory.
IMPORTS = """
import importlib, sys
for name in ("evolve", "evolve.evaluators.moe.trainer", "evaluators.moe.trainer", "moe.trainer", "trainer"):
    try:
        importlib.import_module(name)
    except ImportError:
        continue
    raise AssertionError(name)
assert not [name for name in sys.modules if name.partition(".")[0] == "evolve"]
"""

# What is not in this process cannot be stepped on: there are no parameters, no optimisers and no modules but the program's own.
STEPS = """
if hook != "update":
    return  # once per step is enough: looking at all objects takes a while
import gc
import torch
found = [one for one in gc.get_objects() if type(one) is torch.nn.Parameter or type(one).__name__ in ("AdamW", "Transformer")]
for one in found:
    if type(one) is torch.nn.Parameter:
        one.grad = torch.ones_like(one)
        torch.optim.SGD([one], lr=1.0).step()
assert not found, found
own = torch.nn.Linear(4, 4)
with torch.enable_grad():
    own(torch.ones(4)).sum().backward()
torch.optim.AdamW(own.parameters()).step()
"""

# Callers' frames lead to the loop that answers the worker, not to the trainer.
FRAMES = """
import sys
frame = sys._getframe()
while frame is not None:
    for value in [*frame.f_locals.values(), *frame.f_globals.values()]:
        assert type(value).__name__ not in ("Transformer", "_Trainer", "Training", "Balancer", "Pass", "Corpus"), value
    frame = frame.f_back
"""

# torch is loaded twice, once in each process; what is replaced in one is as it was in the other.
PATCHES = """
import torch
def nothing(*args, **kwargs):
    return torch.zeros(())
torch.nn.functional.cross_entropy = nothing
torch.nn.functional.gelu = nothing
torch.nn.functional.scaled_dot_product_attention = nothing
torch.nn.utils.clip_grad_norm_ = nothing
torch.nn.Linear.forward = nothing
torch.nn.Module.__call__ = nothing
torch.optim.AdamW.step = nothing
torch.optim.Optimizer.zero_grad = nothing
torch.Tensor.backward = nothing
torch.Tensor.topk = nothing
torch.isfinite = nothing
torch.randperm = nothing
torch.manual_seed(0)
torch.use_deterministic_algorithms(False)
"""

# Inputs are copies; every call writes all of them anew.
IN_PLACE = """
import torch
for tensor in () if before else inputs:
    tensor.data.zero_() if hook != "loss" else tensor.zero_()
"""


@pytest.mark.parametrize(
    "attack", [IMPORTS, STEPS, FRAMES, PATCHES, IN_PLACE], ids=["imports", "steps", "frames", "patches", "in place"]
)
def test_what_a_program_does_in_its_process_changes_nothing_in_the_trainers(one_server, honest, attack):
    assert_gains_nothing(one_server, honest, attacking(attack))


# Text that the model is measured on.


#: The frozen text, as it lies in the package.
PACK = pack.__file__.replace("pack.py", "pack.xz")


def looking_for_text():
    """Looks wherever a process can look; as a pattern, so that what is looked for is not in memory because of that."""
    sample = bytes(load_corpus().held_out("prose", 1, 64)[0][:40])
    return f"""
import gc, os, re, sys
import numpy as np
import torch
pattern = re.compile(b"".join(b"[\\\\x%02x]" % byte for byte in {list(sample)}))
def has(data):
    return pattern.search(data) is not None
assert has(bytes({list(sample)}))
paths = [{str(pack.__file__)!r}, {str(PACK)!r}, "/proc/self/mem", "/proc/self/maps", "/proc/1/mem", "/proc/1/environ"]
paths += ["/proc/%d/%s" % (os.getppid(), name) for name in ("mem", "maps", "cmdline", "environ")]
paths += ["/proc/%d/mem" % pid for pid in range(os.getpid() - 50, os.getpid() + 50)]
for folder in sys.path:
    paths += [os.path.join(folder, name) for name in ("evaluators/moe/corpus/pack.xz", "evolve/evaluators/moe/corpus/pack.xz")]
for path in paths:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError:
        continue
    raise AssertionError(path)
for descriptor in range(512):
    try:
        data = os.pread(descriptor, 2**20, 0)
    except OSError:
        continue
    assert not has(data), descriptor
for one in gc.get_objects():
    for part in [one, *gc.get_referents(one)] if type(one) in (dict, list, tuple) else [one]:
        if type(part) in (bytes, bytearray):
            assert not has(part)
        elif type(part) is np.ndarray and part.dtype.hasobject is False:
            assert not has(part.tobytes())
            assert part.dtype.kind not in "iu" or not has(part.astype(np.uint8).tobytes())
"""


def test_text_is_in_no_memory_and_no_file_that_a_program_reaches(one_server, honest):
    # The pack belongs to the package, whose files are not shown; the trainer decodes it in its own memory, and of the text
    # only logits cross, of tokens in no order.
    assert (load_corpus().held_out("prose", 1, 64) > 0).any()
    assert_gains_nothing(one_server, honest, attacking(f"if hook != 'update':\n    return\n{looking_for_text()}"))


@pytest.mark.parametrize("attack", [IMPORTS, FRAMES, looking_for_text()], ids=["imports", "frames", "text"])
def test_the_same_attacks_find_what_they_look_for_in_the_trainers_process(attack):
    # Or it would say nothing that they find nothing in the sandbox.
    with pytest.raises(AssertionError):
        train(written(attacking(attack)), TINY, seed=0)


def test_a_program_that_reads_the_pack_as_it_is_loaded_crashes(one_server):
    with pytest.raises(ProgramFailed) as caught, opened(one_server, f"text = open({str(PACK)!r}, 'rb').read()\n{HONEST}{BODY}"):
        pass
    assert caught.value.outcome is Outcome.CRASHED
    assert "PermissionError" in caught.value.feedback or "FileNotFoundError" in caught.value.feedback


# Answers that are none.

THROUGH = """
import torch
class Through(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        return x.clone()
    @staticmethod
    def backward(context, gradient):
        return FOUND
"""


@pytest.mark.parametrize("found", ["gradient * float('nan')", "gradient + float('inf')", "gradient / 0"])
@pytest.mark.parametrize("hook", ["score", "loss"])
def test_a_gradient_that_is_not_finite_is_invalid(one_server, found, hook):
    hooks = {
        "score": "def score(logits):\n    gates = Through.apply(logits).softmax(-1)\n    return gates.detach(), gates",
        "loss": "def loss(logits):\n    return Through.apply(logits).square().mean()",
    }
    failure = failed(one_server, THROUGH.replace("FOUND", found) + hooks[hook])
    assert failure.outcome is Outcome.INVALID
    assert "logits" in failure.feedback
    assert "finite" in failure.feedback


def test_a_huge_gradient_is_clipped_or_invalid_and_never_breaks_the_trainer(one_server):
    source = THROUGH + "def loss(logits):\n    return Through.apply(logits).square().mean()"
    with opened(one_server, source.replace("FOUND", "gradient * 1e9")) as method:
        assert np.isfinite(train(method, TINY, seed=0).losses).all()
    endless = source.replace("FOUND", "torch.full_like(gradient, 3e38)")
    with opened(one_server, endless) as method, pytest.raises(Invalid, match="the training diverged"):
        train(method, TINY, seed=0)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def score(logits):\n    return logits[1:], logits", "selection"),
        ("def score(logits):\n    return logits", "score returned"),
        ("def score(logits):\n    return logits, logits.T", "gates"),
        ("def score(logits):\n    return logits / 0, logits", "selection"),
        ("def select(selection):\n    return selection", "mask"),
        ("def gate(gates):\n    return gates.sum(-1)", "weights"),
        ("def loss(logits):\n    return logits.sum((0, 1))", "loss"),
        ("def loss(logits):\n    return 'none'", "loss"),
        ("def loss(logits):\n    return logits.sum() / 0", "loss"),
        ("def update(bias, memory):\n    return bias, memory[:, :1]", "memory"),
        ("def update(bias, memory):\n    return bias / 0, memory", "bias"),
        ("def update(bias, memory):\n    return bias", "update"),
    ],
)
def test_an_answer_of_another_shape_or_kind_is_invalid(one_server, source, said):
    failure = failed(one_server, f"import torch\n{source}")
    assert failure.outcome is Outcome.INVALID
    assert said in failure.feedback


def failed(one_server, source):
    """How a program fails in training."""
    with opened(one_server, source) as method, pytest.raises(ProgramFailed) as caught:
        train(method, TINY, seed=0)
    return caught.value


# Remembering.


@pytest.mark.parametrize(
    "attack",
    [
        "global times\nif hook == 'update':\n    times += 1\n    inputs[1].fill_(times)\n    remembered.append(times)",
        "if hook == 'update':\n    remembered.append(float(torch.rand(())))",
    ],
    ids=["counts", "draws"],
)
def test_a_program_that_remembers_or_draws_does_not_repeat(one_server, attack):
    # All hooks of a program share a process, so that it may keep what it likes; what comes of it has to be the same twice.
    source = attacking(attack).replace("gates = logits.sigmoid()", "gates = (logits + 0.01 * sum(remembered)).sigmoid()")
    told = r"trained twice with the same seed, the (losses differ|model is the same)"
    with opened(one_server, f"times, remembered = 0, []\n{source}") as method, pytest.raises(Invalid, match=told):
        check_repeats(method, TINY, seed=0)


def test_an_honest_program_repeats(one_server, honest):
    with opened(one_server, HONEST + BODY) as method:
        assert check_repeats(method, TINY, seed=0).losses == honest.losses


# Time, memory, processes.


def test_a_hook_that_sleeps_runs_out_of_time():
    with server(timeout_s=1.0, wall_timeout_s=2.0) as hurried:
        failure = failed(hurried, "import time\nimport torch\ndef update(bias, memory):\n    time.sleep(60)")
    assert failure.outcome is Outcome.TIMED_OUT


def test_a_hook_that_takes_memory_runs_out_of_it(one_server):
    failure = failed(one_server, "import torch\ndef update(bias, memory):\n    return torch.ones(2**30).sum() + bias, memory")
    assert failure.outcome in (Outcome.OUT_OF_MEMORY, Outcome.CRASHED)


def test_children_of_a_hook_add_nothing_and_end_with_the_program(one_server, honest):
    # A child has a copy of the program, which answers nobody.
    attack = "import os, time\nif hook == 'update' and os.fork() == 0:\n    time.sleep(60)\n    os._exit(0)"
    assert_gains_nothing(one_server, honest, attacking(attack))
