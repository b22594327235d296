"""Every method's hooks, called as a trainer calls them: shapes, finite numbers, gradients, and inputs left alone."""

import pytest
from catalog_kit import PRESENT

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from routing_kit import call, method, seeded, top_k  # noqa: E402 - it needs torch

LAYERS, SEQUENCES, TOKENS, MICRO_BATCHES, ROWS, K = 2, 4, 32, 4, 4, 2
TRUE_WIDTHS = [1.0, 1.0, 0.5, 0.5, 1.0, 1.0, 0.5, 0.5]
SCALARS = {"step": torch.tensor(3), "steps": torch.tensor(60), "layer": torch.tensor(1), "training": torch.tensor(True)}


def widths_of(module):
    """Relative widths of the experts, null ones behind them."""
    return torch.tensor(module.cost(TRUE_WIDTHS) if hasattr(module, "cost") else TRUE_WIDTHS)


def start_of(module, experts):
    """Bias (L, E) and memory (L, R, E) at the start."""
    given = {"experts": experts, "k": K, "layers": LAYERS}
    begun = call(module.init, given) if hasattr(module, "init") else {}
    assert set(begun) <= {"router", "bias", "memory"}
    bias = torch.tensor(begun.get("bias", torch.zeros(LAYERS, experts).tolist()))
    memory = torch.tensor(begun.get("memory", torch.zeros(LAYERS, ROWS, experts).tolist()))
    assert bias.shape == (LAYERS, experts)
    assert memory.shape == (LAYERS, ROWS, experts)
    return bias, memory


def untouched(hook, inputs):
    """Calls a hook and checks that it left its inputs as they were."""
    before = {name: value.detach().clone() for name, value in inputs.items()}
    result = call(hook, inputs)
    assert all(torch.equal(value, before[name]) for name, value in inputs.items())
    return result


def layer_inputs(module):
    """What score, select and gate of the first layer may ask for, but for what they hand on."""
    widths = widths_of(module)
    experts = len(widths)
    bias, memory = start_of(module, experts)
    return {
        **SCALARS,
        "logits": torch.randn(TOKENS, experts, generator=seeded(0), requires_grad=True),
        "bias": bias[0],
        "memory": memory[0],
        "noise": torch.randn(TOKENS, experts, generator=seeded(1)),
        "uniform": torch.rand(TOKENS, experts, generator=seeded(2)),
        "k": torch.tensor(K),
        "widths": widths,
    }


def step_inputs(module):
    """What loss and update may ask for, from softmax scores and top-k."""
    widths = widths_of(module)
    experts = len(widths)
    bias, memory = start_of(module, experts)
    logits = torch.randn(LAYERS, TOKENS, experts, generator=seeded(0), requires_grad=True)
    scores = logits.softmax(-1)
    mask = top_k(scores.detach(), K)
    counts = {scope: mask.unflatten(1, (parts, -1)).sum(2).float() for scope, parts in PARTS.items()}
    counts["running_"] = counts["micro_"].cumsum(1)
    means = {scope: scores.unflatten(1, (parts, -1)).mean(2) for scope, parts in PARTS.items()}
    return {
        **SCALARS,
        **{f"{scope}load": count / count.sum(-1, keepdim=True) for scope, count in counts.items()},
        **{f"{scope}probability": mean for scope, mean in means.items()},
        "load": mask.float().mean(1) / K,
        "probability": scores.mean(1),
        "counts": mask.sum(1).float(),
        "logits": logits,
        "scores": scores,
        "mask": mask,
        "contribution": torch.rand(LAYERS, experts, generator=seeded(3)),
        "bias": bias,
        "memory": memory,
        "widths": widths,
        "k": torch.full((LAYERS,), K),
    }


PARTS = {"micro_": MICRO_BATCHES, "sequence_": SEQUENCES}


def defining(hook):
    """Modules of the methods that define a hook."""
    return [pytest.param(module, id=name) for name in PRESENT if hasattr(module := method(name), hook)]


@pytest.mark.parametrize("module", defining("score"))
def test_scores_have_a_row_per_token_and_gates_have_gradients(module):
    inputs = layer_inputs(module)
    selection, gates = untouched(module.score, inputs)
    assert selection.shape == gates.shape == inputs["logits"].shape
    assert selection.isfinite().all()
    gates.square().sum().backward()
    assert inputs["logits"].grad.isfinite().all()
    assert inputs["logits"].grad.any()


@pytest.mark.parametrize("module", defining("select"))
def test_a_choice_is_a_mask_with_a_row_per_token(module):
    inputs = layer_inputs(module)
    mask = untouched(module.select, inputs | {"selection": inputs["logits"].detach().softmax(-1)})
    assert mask.shape == inputs["logits"].shape
    assert mask.dtype == torch.bool
    assert mask.any()


@pytest.mark.parametrize("module", defining("gate"))
def test_weights_are_finite_and_have_gradients(module):
    inputs = layer_inputs(module)
    gates = inputs["logits"].softmax(-1)
    weights = untouched(module.gate, inputs | {"gates": gates, "mask": top_k(gates.detach(), K)})
    assert weights.shape == gates.shape
    weights.square().sum().backward()
    assert inputs["logits"].grad.isfinite().all()


@pytest.mark.parametrize("module", defining("loss"))
def test_a_loss_is_a_finite_number_with_a_gradient(module):
    inputs = step_inputs(module)
    value = untouched(module.loss, inputs)
    assert value.shape == ()
    assert value.isfinite()
    value.backward()
    assert inputs["logits"].grad.isfinite().all()


@pytest.mark.parametrize("module", defining("update"))
def test_an_update_keeps_the_shapes_of_what_is_kept(module):
    with torch.no_grad():
        inputs = step_inputs(module)
        bias, memory = untouched(module.update, inputs)
    assert bias.shape == inputs["bias"].shape
    assert memory.shape == inputs["memory"].shape
    assert bias.isfinite().all()
    assert memory.isfinite().all()


@pytest.mark.parametrize("module", defining("schedule"))
def test_a_schedule_is_plain_numbers(module):
    given = {"step": 3, "steps": 60, "layers": LAYERS, "experts": 8, "k": K}
    plan = call(module.schedule, given)
    assert set(plan) <= {"k", "coefficient", "temperature", "noise", "capacity"}
    for value in plan.values():
        assert isinstance(value, (int, float, list))
