import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import SMOKE, TINY, catalogued, lasting, one_thread, written  # noqa: E402, F401 - it needs torch; a fixture
from moe_sandbox_kit import opened, server  # noqa: E402 - see above

from evolve.evaluators.base import Invalid, ProgramFailed  # noqa: E402 - after what may skip
from evolve.evaluators.moe.calling import LocalMethod  # noqa: E402 - it needs torch
from evolve.evaluators.moe.methods import catalog  # noqa: E402 - see above
from evolve.evaluators.moe.trainer import train  # noqa: E402 - see above
from evolve.program import Outcome  # noqa: E402 - see above

SIZES = TINY.letters(4)


@pytest.fixture(scope="module")
def one_server():
    with server() as one:
        yield one


# In the sandbox and here.


@pytest.mark.parametrize("name", ["switch", "loss_free", "deepseek_v3", "adamoe", "shiftadd_latency", "moduleformer"])
def test_a_program_trains_as_the_same_method_does_in_this_process_to_the_last_bit(one_server, name):
    size = lasting(SMOKE, 10)
    if catalog.METHODS[name].unequal:
        size = dataclasses.replace(size, model=size.model.unequal())
    here = train(catalogued(name), size, seed=0)
    with opened(one_server, catalog.source_of(name), size) as method:
        there = train(method, size, seed=0)
    assert there.losses == here.losses
    assert np.array_equal(there.loads, here.loads)
    assert [one.cross_entropy for one in there.checkpoints] == [one.cross_entropy for one in here.checkpoints]
    assert torch.equal(there.balancer.bias, here.balancer.bias)
    assert there.gradient_ratio == here.gradient_ratio


def test_a_program_trains_twice_and_at_another_size_in_one_process(one_server):
    other = lasting(TINY, 2, sequences=1)
    with opened(one_server, catalog.source_of("loss_free"), TINY, other) as method:
        first, between, again = train(method, TINY, seed=0), train(method, other, seed=0), train(method, TINY, seed=0)
    assert first.losses == again.losses == train(catalogued("loss_free"), TINY, seed=0).losses
    assert between.losses == train(catalogued("loss_free"), other, seed=0).losses


def test_a_loss_may_ask_for_nothing_that_is_differentiated(one_server):
    source = "def loss(load):\n    return load.sum()"
    with opened(one_server, source) as method:
        assert train(method, TINY, seed=0).losses == train(written(source), TINY, seed=0).losses


def test_a_hook_that_is_gone_once_the_program_is_loaded_is_missed(one_server):
    with (
        pytest.raises(Invalid, match="loss: defined in the text, and gone once the program has been loaded"),
        opened(one_server, "def loss(load): return load.sum()\ndel loss"),
    ):
        pass


def test_a_program_that_cannot_be_loaded_says_why(one_server):
    with pytest.raises(ProgramFailed) as caught, opened(one_server, "def loss(load): return 1\n1 / 0"):
        pass
    assert caught.value.outcome is Outcome.CRASHED
    assert "ZeroDivisionError" in caught.value.feedback


def test_hooks_that_a_task_keeps_to_itself_are_refused_before_anything_runs(one_server):
    with (
        pytest.raises(Invalid, match="the program defines score; this task leaves to it: loss, schedule"),
        opened(one_server, "1 / 0\ndef score(logits): return logits, logits", allowed=("loss", "schedule")),
    ):
        pass


# In this process.


def test_a_method_is_loaded_from_its_file_with_other_constants(tmp_path):
    path = tmp_path / "method.py"
    path.write_text("RATE = 1.0\ndef schedule(): return {'coefficient': RATE}\n")
    assert LocalMethod.load(path).plain("schedule", {}) == {"coefficient": 1.0}
    changed = LocalMethod.load(path, {"RATE": 0.5})
    assert changed.plain("schedule", {"step": 1}) == {"coefficient": 0.5}
    assert changed.asks == {"schedule": ()}
    with pytest.raises(ValueError, match=r"method.py has no constant WEIGHT"):
        LocalMethod.load(path, {"WEIGHT": 0.5})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("logits", "score returned 1 tensors; expected selection, gates"),
        ("(logits, logits[1:])", r"gates of score has shape \(63, 4\) and dtype torch.float32; expected \(64, 4\), float32"),
        ("(logits > 0, logits)", "selection of score has shape .* and dtype torch.bool; expected"),
        ("(logits, logits.double())", "gates of score has shape .* and dtype torch.float64; expected"),
        ("(logits, logits / 0)", "gates of score is not finite"),
        ("(logits.log(), logits)", "selection of score is not finite"),
    ],
)
def test_what_a_hook_returns_is_checked(answer, said):
    method = written(f"def score(logits): return {answer}")
    method.open(SIZES)
    with pytest.raises(Invalid, match=said):
        method.tensors("score", 0, {"logits": torch.linspace(-1, 1, 256).view(64, 4)})
