import pytest

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import TINY, catalogued, lasting, one_thread, written  # noqa: E402, F401 - it needs torch; a fixture

from evolve.evaluators.base import Invalid  # noqa: E402 - after what may skip
from evolve.evaluators.moe.balancer import Balancer, Schedule  # noqa: E402 - it needs torch
from evolve.evaluators.moe.methods import catalog  # noqa: E402 - see above
from evolve.evaluators.moe.router import Company, Pass  # noqa: E402 - see above
from evolve.evaluators.moe.trainer import train  # noqa: E402 - see above

TOKENS, EXPERTS = 12, 4
HONEST = [name for name, method in catalog.METHODS.items() if not method.leaks]


def drawn(seed=0, tokens=TOKENS):
    return torch.randn(tokens, EXPERTS, generator=torch.Generator().manual_seed(seed))


def routing(method, *, training=True, seed=0, k=2, step=3, **more):
    """A pass of 12 tokens; schedules' numbers and the pass's own by name."""
    balancer = Balancer(method, TINY.model)
    method.open({"L": 2, "E": balancer.experts, "T": TOKENS, "B": 1, "M": 1, "R": 4})
    options = {name: more.pop(name) for name in ("company", "keep_gradients") if name in more}
    schedule = Schedule((k, k), 0.01, **more)
    return Pass(balancer, schedule, step, training=training, generator=torch.Generator().manual_seed(seed), **options)


# Choice and capacity.


def test_tokens_go_to_their_k_best_experts():
    one, logits = routing(written("")), drawn()
    weights, mask = one(0, logits)
    assert torch.equal(mask.sum(1), torch.full((TOKENS,), 2))
    best = logits.topk(2, -1)
    assert torch.equal(weights.gather(1, best.indices), weights.topk(2, -1).values)
    torch.testing.assert_close(weights.gather(1, best.indices), best.values.softmax(-1))
    (seen,) = one.seen
    assert torch.equal(seen.logits, logits)
    assert torch.equal(seen.mask, mask)
    assert seen.dropped == 0


def test_each_layer_has_its_own_k():
    one = routing(written(""))
    one.schedule = Schedule((1, 3), 0.01)
    assert [int(one(layer, drawn()).mask.sum()) for layer in (0, 1)] == [TOKENS, 3 * TOKENS]


def test_logits_are_divided_by_the_temperature_before_they_are_scored():
    one = routing(written(""), temperature=4.0)
    one(0, drawn())
    torch.testing.assert_close(one.seen[0].gates, (drawn() / 4).softmax(-1))
    assert torch.equal(one.seen[0].logits, drawn())


def test_later_tokens_lose_an_expert_that_is_full():
    # 12 choices of 4 experts, 3 on average: room for round(1.5 3) = 4. Expert 0 is wanted by tokens 0 to 6, expert 1 by the rest.
    logits = torch.zeros(TOKENS, EXPERTS)
    logits[:7, 0] = logits[7:, 1] = 5.0
    one = routing(written(""), k=1, capacity=1.5)
    weights, mask = one(0, logits)
    assert mask[:, 0].tolist() == [True] * 4 + [False] * 8
    assert mask[:, 1].tolist() == [False] * 7 + [True] * 4 + [False]
    assert torch.equal(weights > 0, mask)
    (seen,) = one.seen
    assert seen.dropped == 3 + 1
    # What the method chose is what is counted.
    assert seen.mask.sum(0).tolist() == [7, 5, 0, 0]


def test_an_expert_has_room_for_one_token_at_least():
    _, mask = routing(written(""), capacity=1e-6)(0, drawn())
    assert mask.sum(0).tolist() == [1] * EXPERTS


def test_no_token_of_a_finished_model_is_dropped():
    one = routing(written(""), training=False, capacity=0.1)
    assert int(one(0, drawn()).mask.sum()) == 2 * TOKENS


# Noise.

NOTING = """
def score(logits, noise):
    seen.append(noise)
    return logits, logits
def select(selection, uniform, k):
    seen.append(uniform)
    return torch.zeros_like(selection, dtype=torch.bool).scatter(1, selection.topk(int(k), -1).indices, True)
"""


def noise_of(source, layers=(0, 1), **options):
    seen = []
    one = routing(written(source, seen=seen), **options)
    for layer in layers:
        one(layer, drawn())
    return seen


def test_all_methods_get_the_same_noise_whatever_else_they_ask_for():
    noise_0, uniform_0, noise_1, uniform_1 = noise_of(NOTING, noise=1.0)
    assert len({tensor.sum().item() for tensor in (noise_0, uniform_0, noise_1, uniform_1)}) == 4
    # One that asks for the uniform numbers alone, and one that asks for noise alone, and in one layer.
    without_noise = NOTING.replace("noise", "layer")
    assert torch.equal(noise_of(without_noise)[3], uniform_1)
    first_layer_silent = "def score(logits, noise, layer):\n    seen.append(noise)\n    return logits, logits"
    assert torch.equal(noise_of(first_layer_silent, noise=1.0)[1], noise_1)
    # Other seeds, other noise.
    assert not torch.equal(noise_of(NOTING, noise=1.0, seed=1)[0], noise_0)


def test_noise_is_as_wide_as_the_schedule_says_and_none_by_default():
    one, other, none = (noise_of(NOTING, noise=width)[0] for width in (1.0, 2.5, 0.0))
    torch.testing.assert_close(other, 2.5 * one)
    assert not none.any()


def test_a_finished_model_has_no_noise():
    noise, uniform, *_ = noise_of(NOTING, training=False, noise=1.0)
    assert not noise.any()
    assert torch.equal(uniform, torch.full((TOKENS, EXPERTS), 0.5))


def test_noise_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    noise_of(NOTING, noise=1.0)
    noise_of(NOTING, training=False)
    assert torch.equal(torch.get_rng_state(), before)


# The order of tokens.

LOOKING = "def score(logits, training, step):\n    seen.append((logits, training, step))\n    return logits, logits.softmax(-1)"


def test_hooks_see_the_tokens_of_a_finished_model_in_no_order():
    seen = []
    one = routing(written(LOOKING, seen=seen), training=False)
    weights, _ = one(0, drawn())
    one(1, drawn())
    (first, training, step), (second, _, _) = seen
    assert (bool(training), int(step)) == (False, 3)
    assert not torch.equal(first, drawn())
    assert not torch.equal(first, second)
    assert torch.equal(first.sort(0).values, drawn().sort(0).values)
    # The model gets the answers in the order of its tokens, as without hooks.
    plain = routing(written(""), training=False)
    torch.testing.assert_close(weights, plain(0, drawn()).weights)
    torch.testing.assert_close(one.seen[0].gates, plain.seen[0].gates)
    assert torch.equal(one.seen[0].logits, drawn())


def test_in_training_tokens_come_as_they_are():
    seen = []
    routing(written(LOOKING, seen=seen))(0, drawn())
    assert torch.equal(seen[0][0], drawn())
    assert bool(seen[0][1])


# The guard.


def guarded(source, training=True, logits=None):
    generator = torch.Generator().manual_seed(9)
    nudge = 1 + 1e-5 * torch.randn(TOKENS, generator=generator)
    company = Company(torch.randperm(TOKENS, generator=generator), torch.arange(TOKENS) % 2 == 0, nudge)
    one = routing(written(source), training=training, company=company, noise=1.0)
    one(0, drawn() if logits is None else logits)


SCORE, SELECT, GATE = "def score(logits): return", "def select(selection): return", "def gate(gates, mask): return"
DEPENDENT = {
    "normalised over the batch": f"{SCORE} logits, ((logits - logits.mean(0)) / logits.std(0)).softmax(-1)",
    "ranked in the batch": f"{SCORE} logits.argsort(0).float(), logits.softmax(-1)",
    "by position": f"{SCORE} logits + 9 * torch.eye(4)[torch.arange(len(logits)) % 4], logits.softmax(-1)",
    "a sum over the batch": f"{SCORE} logits, (logits + logits.sum()).sigmoid()",
    "as many as there is room for": f"{SELECT} torch.zeros_like(selection).scatter(0, selection.topk(6, 0).indices, 1) > 0",
    "weighed by the batch": f"{GATE} gates * mask / gates.mean(0)",
    "as the token before": f"{GATE} gates.roll(1, 0) * mask",
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("source", DEPENDENT.values(), ids=DEPENDENT)
def test_a_choice_that_depends_on_other_tokens_is_caught(source, training):
    with pytest.raises(Invalid, match=r"layer 0: \d+ of 6 tokens were routed otherwise with other tokens beside them"):
        guarded(source, training)


COARSE = {
    "weighed by what the batch wants most": f"{GATE} gates * mask * (1 + torch.eye(4)[gates.mean(0).argmax()])",
    "with weight 0 where there is room": """
def select(selection):
    first = torch.eye(4)[selection.argmax(-1)]
    return (first + torch.eye(4)[first.sum(0).argmin()]) > 0

def gate(gates):
    return gates * (gates == gates.amax(-1, keepdim=True))
""",
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("source", COARSE.values(), ids=COARSE)
def test_what_half_of_a_batch_tells_as_well_as_all_of_it_is_caught(source, training):
    # The first expert is wanted most and the last least, in whatever part of the batch.
    with pytest.raises(Invalid, match=r"layer 0: \d+ of 6 tokens were routed otherwise"):
        guarded(source, training, drawn() + torch.tensor([6.0, 4.0, 2.0, 0.0]))


ALONE = {
    "with noise": "def score(logits, noise): return logits + noise, logits.softmax(-1)",
    "at random": "def select(selection, uniform, k): return uniform > 0.3",
    "by threshold": f"{SELECT} selection > 0.25",
    "with a state": "def init(): return {'bias': [[1, 2, 3, 4]] * 2}\ndef score(logits, bias): return logits * bias, logits.exp()",
    "nobody": f"{SELECT} selection > 5",
    "everybody": f"{SELECT} selection > -5",
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("source", ALONE.values(), ids=ALONE)
def test_a_choice_that_depends_on_the_token_alone_is_let_through(source, training):
    guarded(source, training)


@pytest.mark.parametrize("name", HONEST)
def test_published_methods_are_let_through(name):
    # Guarded before each of three steps, and in each of the three measurements.
    trained = train(catalogued(name), lasting(TINY, 3), seed=0)
    assert len(trained.losses) in (2, 3)


EXPERT_CHOICE = """
def select(selection, k, step, training):
    top = selection.topk(int(k), -1).indices
    if not training or step in {behaves}:
        return torch.zeros_like(selection).scatter(-1, top, 1) > 0
    return torch.zeros_like(selection).scatter(0, selection.topk(len(selection) // 2, 0).indices, 1) > 0
"""


def test_when_the_guard_asks_next_no_step_tells():
    with pytest.raises(Invalid, match="were routed otherwise"):
        train(written(EXPERT_CHOICE.replace("{behaves}", "(0, 30)")), lasting(TINY, 60), seed=0)


def test_all_held_out_text_is_asked_about_again():
    # Six sequences, four at a time; the second four come after the first.
    source = """
SEEN = []

def select(selection, k, step, training, layer):
    SEEN.append((int(step), bool(training), int(layer)))
    if training or SEEN.count(SEEN[-1]) == 1:
        return torch.zeros_like(selection).scatter(-1, selection.topk(int(k), -1).indices, 1) > 0
    return torch.zeros_like(selection).scatter(0, selection.topk(len(selection) // 2, 0).indices, 1) > 0
"""
    with pytest.raises(Invalid, match="were routed otherwise"):
        train(written(source), TINY, seed=0, witness=written(source))


def test_expert_choice_is_caught():
    with pytest.raises(Invalid, match="were routed otherwise with other tokens beside them"):
        train(catalogued("expert_choice"), TINY, seed=0)


REMEMBERS = """
KNOWN = {}

def score(logits):
    ranks = logits.argsort(0).float()
    for row, rank in zip(logits.tolist(), ranks):
        KNOWN.setdefault(tuple(row), rank)
    return torch.stack([KNOWN[tuple(row)] for row in logits.tolist()]), logits.softmax(-1)
"""


def test_a_method_that_remembers_what_it_answered_for_a_token_is_caught():
    with pytest.raises(Invalid, match="were routed otherwise with other tokens beside them"):
        guarded(REMEMBERS)


def test_a_method_that_only_cheats_in_evaluation_is_caught():
    source = (
        "def score(logits, training):\n    z = logits if training else logits - 99 * logits.mean(0)\n    return z, z.softmax(-1)"
    )
    with pytest.raises(Invalid, match="were routed otherwise"):
        train(written(source), TINY, seed=0)
