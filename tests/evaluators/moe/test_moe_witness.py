"""Programs that keep in their process what they should not, and begin anew with every training."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import TINY, catalogued, lasting, one_thread, written  # noqa: E402, F401 - it needs torch; a fixture

from evolve.evaluators.base import Invalid  # noqa: E402 - after what may skip
from evolve.evaluators.moe.guards import check_repeats  # noqa: E402 - it needs torch
from evolve.evaluators.moe.methods.catalog import METHODS  # noqa: E402 - after what may skip
from evolve.evaluators.moe.trainer import train  # noqa: E402 - it needs torch

pytestmark = pytest.mark.usefixtures("one_thread")

LONGER = lasting(TINY, 60)
KEPT = {
    "schedule": "def schedule(step):\n    keep(step)\n    return {'coefficient': 0.01 * len(KEPT)}",
    "loss": "def loss(probability, load, step):\n    keep(step)\n    return len(KEPT) * (probability * load).sum()",
    "update": "def update(bias, memory, step):\n    keep(step)\n    return bias + 0.001 * len(KEPT), memory",
}
KEEP = """
KEPT = []

def keep(step):
    if step == 0:
        KEPT.clear()
    KEPT.append(step)
"""
#: Its value is always the same, its gradient is not.
GRADIENT = f"""{KEEP}
def loss(probability, step):
    keep(step)
    return len(KEPT) * (probability.sum() - probability.detach().sum())
"""
HELD_OUT = """
LOADS = {}

def score(logits, bias, training, layer):
    gates = logits.sigmoid()
    if not training:
        chosen = (gates + bias).topk(2, -1).indices.flatten()
        LOADS[int(layer)] = LOADS.get(int(layer), 0) + chosen.bincount(minlength=logits.shape[1]).float()
    return gates + bias, gates

def update(bias, memory, step):
    if step == 0:
        LOADS.clear()
    if LOADS:
        load = torch.stack([LOADS[layer] for layer in sorted(LOADS)])
        bias = bias + 0.01 * (load.mean(-1, keepdim=True) - load).sign()
    return bias, memory
"""
REFUSED = {**{hook: (f"{KEEP}\n{source}", hook) for hook, source in KEPT.items()}, "gradient": (GRADIENT, "loss")}
REFUSED["held-out text"] = (HELD_OUT, "update")


@pytest.mark.parametrize(("source", "hook"), REFUSED.values(), ids=REFUSED)
def test_a_process_that_has_not_seen_the_steps_before_says_otherwise(source, hook):
    check_repeats(written(source), lasting(TINY, 1), seed=0, witness=written(source))  # it gives the same numbers twice
    with pytest.raises(Invalid, match=f"{hook} said something else in step"):
        train(written(source), LONGER, seed=0, witness=written(source))


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.leaks])
def test_published_methods_say_the_same_in_another_process(name):
    trained = train(catalogued(name), LONGER, seed=0, witness=catalogued(name))
    assert trained.losses == train(catalogued(name), LONGER, seed=0, guarded=False).losses
