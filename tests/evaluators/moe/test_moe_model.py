import dataclasses

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import TINY, one_thread  # noqa: E402, F401 - it needs torch; a fixture

from evolve.evaluators.moe.model import Attention, Routed, Transformer, make_router  # noqa: E402 - it needs torch
from evolve.evaluators.moe.spec import ModelConfig  # noqa: E402 - see above

CONFIG = dataclasses.replace(TINY.model, shared_width=4)


def route(layer, logits):
    """The two best of every token, softly weighed."""
    gates = logits.softmax(-1)
    mask = torch.zeros_like(gates, dtype=torch.bool).scatter(1, gates.topk(2, -1).indices, True)
    return Routed(gates * mask, mask)


def made(config=CONFIG, seed=3, **options):
    model = Transformer(config, **options)
    model.initialise(seed)
    return model


def text(seed, sequences=3):
    return torch.randint(256, (sequences, CONFIG.length), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("router", ["linear", "mlp", "cosine"])
@torch.no_grad()
def test_later_bytes_change_no_earlier_prediction(router):
    model = made(router=router)
    tokens = text(0)
    before = model(tokens, route)
    for position in (1, 7, CONFIG.length - 1):
        changed = tokens.clone()
        changed[:, position:] = text(position)[:, position:]
        after = model(changed, route)
        # In another order experts may sum up in, so not to the last bit.
        torch.testing.assert_close(after[:, :position], before[:, :position], rtol=0, atol=1e-5)
        assert not torch.allclose(after[:, position], before[:, position], atol=1e-5)


@torch.no_grad()
def test_a_sequence_is_predicted_alike_alone_and_in_company():
    model, tokens = made(), text(1)
    together = model(tokens, route)
    for one in range(len(tokens)):
        torch.testing.assert_close(model(tokens[one : one + 1], route)[0], together[one], rtol=0, atol=1e-5)


@torch.no_grad()
def test_a_shorter_sequence_is_predicted_alike():
    model, tokens = made(), text(2)
    torch.testing.assert_close(model(tokens[:, :5], route), model(tokens, route)[:, :5], rtol=0, atol=1e-5)


def test_every_layer_is_asked_once_about_the_tokens_of_all_sequences_in_a_row():
    asked = []

    def noting(layer, logits):
        asked.append((layer, tuple(logits.shape), logits.dtype))
        return route(layer, logits)

    assert made(null_experts=2)(text(0), noting).shape == (3, CONFIG.length, 256)
    assert asked == [(layer, (3 * CONFIG.length, 6), torch.float32) for layer in range(CONFIG.layers)]


@pytest.mark.parametrize(
    "options", [{"null_experts": 3}, {"router": "mlp"}, {"router": "cosine"}], ids=["null experts", "mlp", "cosine"]
)
def test_first_weights_of_one_part_do_not_depend_on_another(options):
    plain, other = made().state_dict(), made(**options).state_dict()
    shared = [name for name in plain if ".router" not in name]
    assert {name for name in other if ".router" not in name} == set(shared)
    assert all(torch.equal(plain[name], other[name]) for name in shared)


def test_a_network_that_every_token_goes_through_leaves_the_first_weights_of_the_others_alone():
    plain, other = made(TINY.model).state_dict(), made(CONFIG).state_dict()
    assert set(other) - set(plain) == {
        f"blocks.{layer}.mixture.shared.{part}.weight" for layer in (0, 1) for part in ("up", "down")
    }
    assert all(torch.equal(plain[name], other[name]) for name in plain)


def test_first_weights_follow_the_seed_alone():
    torch.manual_seed(1)
    one = made().state_dict()
    torch.manual_seed(2)
    same, another = made().state_dict(), made(seed=4).state_dict()
    assert all(torch.equal(one[name], same[name]) for name in one)
    matrices = [name for name, weight in one.items() if weight.dim() > 1]
    assert not any(torch.equal(one[name], another[name]) for name in matrices)
    # No two layers begin alike either.
    assert not torch.equal(one["blocks.0.attention.up.weight"], one["blocks.1.attention.up.weight"])


def test_every_weight_is_drawn_and_learns():
    for router in ("linear", "mlp", "cosine"):
        model = Transformer(CONFIG, router)
        for weight in model.parameters():
            if weight.dim() > 1:
                torch.nn.init.constant_(weight, float("nan"))
        model.initialise(0)
        model(text(0, sequences=8), route).square().mean().backward()
        for name, weight in model.named_parameters():
            assert torch.isfinite(weight).all(), name
            assert weight.grad is not None, name
            assert weight.grad.any(), name


def test_a_model_of_one_expert_is_dense_and_asks_nobody():
    model = made(ModelConfig(16, 2, 2, 1, 1, 8, length=16))

    def nobody(layer, logits):
        raise AssertionError

    assert model(text(0), nobody).shape == (3, 16, 256)
    assert not [name for name, _ in model.named_parameters() if "router" in name]


def test_attention_is_that_of_rotated_pairs_over_what_came_before():
    width, heads, length = 8, 2, 5
    attention = Attention(width, heads).double()
    x = torch.randn(1, length, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rates = 10_000.0 ** (-torch.arange(0, width // heads, 2, dtype=torch.float64) / (width // heads))
    angles = torch.arange(length, dtype=torch.float64).unsqueeze(1) * rates
    # For every number of a head: the sine of a pair's first is subtracted.
    rotation = torch.stack((angles.cos().repeat(1, 2), torch.cat((-angles.sin(), angles.sin()), 1)))
    found = attention(x, rotation)

    up = (attention.up.weight @ x[0].T).T.view(length, 3, heads, width // heads)
    rows = []
    for position in range(length):
        parts = []
        for head in range(heads):
            query = turned(up[position, 0, head], position * rates)
            scores = torch.stack(
                [
                    # As complex numbers: a pair's product depends on how far apart the two are, on nothing else.
                    (query * turned(up[earlier, 1, head], earlier * rates).conj()).real.sum() / (width // heads) ** 0.5
                    for earlier in range(position + 1)
                ]
            )
            parts.append(scores.softmax(0) @ up[: position + 1, 2, head])
        rows.append(attention.down.weight @ torch.cat(parts))
    torch.testing.assert_close(found[0], torch.stack(rows))


def turned(vector, angles):
    first, second = vector.chunk(2)
    return torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)


@torch.no_grad()
def test_cosine_logits_do_not_mind_how_long_a_token_is_and_begin_within_ten():
    router, x = made(router="cosine").blocks[0].mixture.router, torch.randn(50, 16, generator=torch.Generator().manual_seed(0))
    logits = router(x)
    torch.testing.assert_close(router(7 * x), logits)
    assert logits.abs().max() <= 10 + 1e-5
    torch.testing.assert_close(router(router.directions.weight).diagonal(), torch.full((4,), 10.0))


def test_an_unknown_router_is_refused():
    with pytest.raises(ValueError, match="router must be linear, mlp or cosine, got 'tree'"):
        make_router("tree", 4, 2)
