import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import TINY, one_thread, written  # noqa: E402, F401 - it needs torch; a fixture

from evolve.evaluators.moe.balancer import Balancer, Schedule  # noqa: E402 - see above
from evolve.evaluators.moe.experts import Experts  # noqa: E402 - see above
from evolve.evaluators.moe.observed import Observed  # noqa: E402 - see above
from evolve.evaluators.moe.router import Pass, Seen  # noqa: E402 - see above
from evolve.evaluators.moe.vocabulary import HOOKS  # noqa: E402 - after what may skip

LAYERS, MICRO, SEQUENCES, POSITIONS, EXPERTS = 2, 2, 4, 3, 5
TOKENS = SEQUENCES * POSITIONS
#: What the balancer knows by itself.
KEPT = {"bias", "memory", "widths"}


def seen(seed=0, chance=0.4):
    """What a pass might have seen: any number of experts per token, gates of any size and sign."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for _ in range(LAYERS):
        logits = torch.randn(TOKENS, EXPERTS, generator=generator).requires_grad_()
        mask = torch.rand(TOKENS, EXPERTS, generator=generator) < chance
        layers.append(Seen(logits, 2 * logits.sigmoid() - 0.3, (logits.exp() * mask).detach(), mask, 0))
    return layers


def observed(layers):
    return Observed(layers, micro_batches=MICRO, sequences=SEQUENCES, k=(2, 1), step=4, steps=9)


def fractions(counts):
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]


def counted(layer, tokens):
    """How many of the tokens chose each expert."""
    return [float(sum(bool(layer.mask[token, expert]) for token in tokens)) for expert in range(EXPERTS)]


def normalised(layer, tokens):
    """Mean over the tokens of gates that are divided by their sum."""
    sums = [0.0] * EXPERTS
    for token in tokens:
        gates = [max(0.0, gate) for gate in layer.gates[token].tolist()]
        for expert, gate in enumerate(gates):
            sums[expert] += gate / sum(gates)
    return [value / len(tokens) for value in sums]


def groups(number):
    """Tokens of each micro-batch or sequence, in their order."""
    return [range(group * TOKENS // number, (group + 1) * TOKENS // number) for group in range(number)]


def by_loops(layers):
    everybody = range(TOKENS)
    return {
        "counts": [counted(layer, everybody) for layer in layers],
        "load": [fractions(counted(layer, everybody)) for layer in layers],
        "micro_load": [[fractions(counted(layer, some)) for some in groups(MICRO)] for layer in layers],
        "running_load": [[fractions(counted(layer, range(some.stop))) for some in groups(MICRO)] for layer in layers],
        "sequence_load": [[fractions(counted(layer, some)) for some in groups(SEQUENCES)] for layer in layers],
        "probability": [normalised(layer, everybody) for layer in layers],
        "micro_probability": [[normalised(layer, some) for some in groups(MICRO)] for layer in layers],
        "sequence_probability": [[normalised(layer, some) for some in groups(SEQUENCES)] for layer in layers],
    }


@pytest.mark.parametrize("chance", [0.4, 0.0, 1.0])
def test_every_number_is_that_of_a_loop_over_the_tokens(chance):
    layers = seen(chance=chance)
    found = observed(layers)
    for name, expected in by_loops(layers).items():
        torch.testing.assert_close(getattr(found, name), torch.tensor(expected), msg=lambda text, name=name: f"{name}: {text}")


def test_tokens_are_handed_over_as_they_were_seen():
    layers = seen()
    found = observed(layers)
    for layer in range(LAYERS):
        assert torch.equal(found.logits[layer], layers[layer].logits)
        assert torch.equal(found.mask[layer], layers[layer].mask)
        assert torch.equal(found.scores[layer], layers[layer].gates)
    assert (found.k.tolist(), int(found.step), int(found.steps)) == ([2, 1], 4, 9)


def test_every_input_of_the_vocabulary_is_there_with_its_shape_and_dtype():
    found = observed(seen())
    sizes = {"L": LAYERS, "T": TOKENS, "E": EXPERTS, "M": MICRO, "B": SEQUENCES, "R": 4}
    for hook in ("loss", "update"):
        inputs = found.inputs(hook)
        assert set(inputs) == set(HOOKS[hook].inputs) - KEPT
        for name, value in inputs.items():
            declared = HOOKS[hook].inputs[name]
            assert value().shape == declared.shape(sizes), name
            assert value().dtype == getattr(torch, declared.dtype), name


def test_a_loss_gets_gradients_for_what_is_differentiated_and_an_update_for_nothing():
    found = observed(seen())
    declared = HOOKS["loss"].inputs
    assert {name: value().requires_grad for name, value in found.inputs("loss").items()} == {
        name: declared[name].differentiated for name in set(declared) - KEPT
    }
    assert not any(value().requires_grad for value in found.inputs("update").values())


def test_gradients_reach_the_logits_of_every_token():
    layers = seen()
    observed(layers).sequence_probability.square().sum().backward()
    assert all(layer.logits.grad.abs().sum(1).gt(0).all() for layer in layers)


def test_gates_that_are_all_zero_have_no_probability():
    (first, *rest) = seen()
    found = observed([first._replace(gates=0 * first.gates), *rest])
    assert not found.probability[0].any()
    assert torch.isfinite(found.probability).all()


def test_contributions_are_those_of_finite_differences():
    experts = Experts(6, 4, (1.0,) * 4)
    experts.initialise(torch.Generator().manual_seed(0), depth=1)
    experts.double()
    generator = torch.Generator().manual_seed(1)
    x, target, logits = (torch.randn(8, width, generator=generator, dtype=torch.float64) for width in (6, 6, 4))

    def loss(weights, mask):
        return (experts(x, weights, mask) - target).square().mean()

    routing = Pass(
        Balancer(written(""), TINY.model),
        Schedule((2, 2), 0.0, capacity=1.0),  # some choices are dropped, and contribute nothing
        0,
        training=True,
        generator=generator,
        keep_gradients=True,
    )
    weights, kept = routing(0, logits.requires_grad_())
    loss(weights, kept).backward()
    found = Observed(routing.seen, micro_batches=1, sequences=1, k=(2,), step=0, steps=1).contribution
    expected = torch.zeros(4, dtype=torch.float64)
    for token in range(8):
        for expert in range(4):
            # What becomes of the loss, by the share of one expert's answer that is there.
            change = torch.zeros_like(weights)
            change[token, expert] = 1e-6 * weights[token, expert].detach()
            with torch.no_grad():
                expected[expert] += abs(loss(weights + change, kept) - loss(weights - change, kept)) / 2e-6
    assert routing.seen[0].dropped > 0
    torch.testing.assert_close(found[0], expected, rtol=1e-6, atol=1e-9)


def test_without_gradients_nobody_contributes():
    assert not observed(seen()).contribution.any()
