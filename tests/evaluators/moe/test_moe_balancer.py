import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from moe_kit import TINY, one_thread, written  # noqa: E402, F401 - it needs torch; a fixture

from evolve.evaluators.base import Invalid  # noqa: E402 - after what may skip
from evolve.evaluators.moe.balancer import Balancer, Schedule, top_k  # noqa: E402 - it needs torch

#: Two layers of four experts, two per token.
MODEL = TINY.model
TOKENS = 5


def balancer(source="", model=MODEL, **names):
    made = Balancer(written(source, **names), model)
    made.method.open({"L": model.layers, "E": made.experts, "T": TOKENS, "B": 1, "M": 1, "R": 4})
    return made


def answering(hook, answer, parameters=""):
    """A method with one hook that returns the value."""
    return balancer(f"def {hook}({parameters}): return answer", answer=answer)


def logits(seed=0, experts=4):
    return torch.randn(TOKENS, experts, generator=torch.Generator().manual_seed(seed))


# Defaults.


def test_a_method_that_says_nothing_gets_full_experts_a_linear_router_and_zeros():
    made = balancer()
    assert (made.experts, made.null_experts, made.router) == (4, 0, "linear")
    assert made.widths.tolist() == [1, 1, 1, 1]
    assert torch.equal(made.bias, torch.zeros(2, 4))
    assert torch.equal(made.memory, torch.zeros(2, 4, 4))
    assert made.schedule(7, 10, 0.25) == Schedule((2, 2), 0.25, temperature=1.0, noise=0.0, capacity=0.0)
    assert made.loss({}) is None


def test_scores_are_a_softmax_and_the_bias_chooses_without_weighing():
    made, given = balancer("def init(): return {'bias': [[0, 0, 0, 0], [0, 9, 0, 0]]}"), logits().requires_grad_()
    selection, gates = made.score(1, {"logits": given})
    assert torch.equal(gates, given.softmax(-1))
    torch.testing.assert_close(selection - gates, torch.tensor([[0.0, 9, 0, 0]]).expand(TOKENS, 4))
    assert gates.requires_grad
    assert not selection.requires_grad


def test_the_k_largest_are_chosen():
    selection = torch.tensor([[0.1, 0.4, 0.3, 0.2], [5.0, -1, -2, -3]])
    assert balancer().select(0, {"selection": selection, "k": torch.tensor(2)}).tolist() == [
        [False, True, True, False],
        [True, True, False, False],
    ]
    assert top_k(torch.zeros(3, 4), 3).sum(1).tolist() == [3, 3, 3]


def test_weights_are_gates_of_the_chosen_divided_by_their_sum():
    gates = torch.tensor([[0.1, 0.4, 0.2, 0.3]])
    mask = torch.tensor([[False, True, True, False]])
    found = balancer().gate(0, {"gates": gates, "mask": mask, "k": torch.tensor(2)})
    torch.testing.assert_close(found, torch.tensor([[0, 2 / 3, 1 / 3, 0]]))


def test_the_weight_of_one_expert_is_its_gate_so_that_the_router_learns():
    gates = torch.tensor([[0.1, 0.4, 0.2, 0.3]], requires_grad=True)
    found = balancer().gate(0, {"gates": gates, "mask": gates > 0.35, "k": torch.tensor(1)})
    assert found.tolist() == [[0, pytest.approx(0.4), 0, 0]]
    found.sum().backward()
    assert gates.grad.tolist() == [[0, 1, 0, 0]]


def test_gates_that_are_all_zero_make_weights_that_are():
    mask = torch.tensor([[True, True, False, False]])
    found = balancer().gate(0, {"gates": torch.zeros(1, 4), "mask": mask, "k": torch.tensor(2)})
    assert found.tolist() == [[0, 0, 0, 0]]


def test_a_methods_own_weights_count_within_its_mask_only():
    made = balancer("def gate(gates): return gates + 1")
    mask = torch.zeros(TOKENS, 4, dtype=torch.bool)
    mask[:, 2] = True
    found = made.gate(0, {"gates": torch.ones(TOKENS, 4), "mask": mask, "k": torch.tensor(1)})
    assert found[0].tolist() == [0, 0, 2, 0]


# What hooks are given.


def test_hooks_of_a_layer_get_its_row_of_the_state_and_those_of_all_layers_everything():
    source = """
def init(): return {'bias': [[0, 1, 2, 3], [4, 5, 6, 7]]}
def score(logits, bias, memory, layer, widths):
    seen['score'] = bias, memory, layer, widths
    return logits, logits
def loss(bias, memory):
    seen['loss'] = bias, memory
    return bias.sum()
def update(bias, memory):
    return bias + 1, memory - 1
"""
    seen = {}
    made = balancer(source, seen=seen)
    made.score(1, {"logits": logits()})
    assert seen["score"][0].tolist() == [4, 5, 6, 7]
    assert seen["score"][1].shape == (4, 4)
    assert int(seen["score"][2]) == 1
    assert seen["score"][3].tolist() == [1, 1, 1, 1]
    assert float(made.loss({})) == 28
    made.update({})
    assert made.bias.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert torch.equal(made.memory, torch.full((2, 4, 4), -1.0))
    made.loss({})
    assert seen["loss"][0].shape == (2, 4)


def test_numbers_that_nobody_asks_for_are_not_computed():
    def never():
        raise AssertionError

    made = balancer("def loss(load): return load.sum()")
    assert float(made.loss({"load": lambda: torch.ones(2, 4), "logits": never, "mask": never})) == 8


def test_plain_hooks_are_told_where_they_are():
    source = """
def init(experts, k, layers): told['init'] = experts, k, layers; return {}
def cost(widths): told['cost'] = widths; return [*widths, 0.0, 0.0]
def schedule(step, steps, layers, experts, k): told['schedule'] = step, steps, layers, experts, k; return {}
"""
    told = {}
    model = dataclasses.replace(MODEL, widths=(1.0, 1.0, 0.5, 0.25))
    balancer(source, model, told=told).schedule(3, 9, 0.01)
    assert told == {"cost": [1.0, 1.0, 0.5, 0.25], "init": (6, 2, 2), "schedule": (3, 9, 2, 6, 2)}


def test_experts_without_computation_stand_behind_the_others():
    made = balancer("def cost(widths): return (*widths, 0, 0.0)")
    assert (made.experts, made.null_experts) == (6, 2)
    assert made.widths.tolist() == [1, 1, 1, 1, 0, 0]
    assert made.bias.shape == (2, 6)
    assert made.memory.shape == (2, 4, 6)


def test_a_schedule_may_say_some_things_and_leave_others():
    assert answering("schedule", {"k": [1, 4], "noise": 0.5}).schedule(0, 1, 0.125) == Schedule((1, 4), 0.125, noise=0.5)
    assert answering("schedule", {"k": 3, "coefficient": 0}).schedule(0, 1, 0.125).k == (3, 3)
    assert answering("schedule", {}).schedule(0, 1, 0.125) == Schedule((2, 2), 0.125)


def test_init_may_set_all_that_is_kept():
    start = {"router": "cosine", "bias": np.ones((2, 4)), "memory": [[[True] * 4] * 4] * 2}
    made = answering("init", start)
    assert made.router == "cosine"
    assert made.bias.dtype == made.memory.dtype == torch.float32
    assert float(made.bias.sum() + made.memory.sum()) == 8 + 32


# What it may not say: every answer is data that somebody made up.

ODD = [None, 1, "x", b"x", [1], (), True, 10**400, float("nan"), np.ones(3), np.ones(()), 1j]


@pytest.mark.parametrize("answer", [*ODD, {"rooter": "mlp"}, {1: 2}, {"bias": None, b"bias": 1}], ids=repr)
def test_init_returns_a_dict_of_what_there_is(answer):
    with pytest.raises(Invalid, match="init must return a dict with some of: router, bias, memory; got "):
        answering("init", answer)


@pytest.mark.parametrize("answer", ["tree", "", None, 1, ["mlp"], np.ones(2), np.array(1), {}, b"mlp"], ids=repr)
def test_a_router_is_one_of_three(answer):
    with pytest.raises(Invalid, match="router of init must be one of linear, mlp, cosine, got "):
        answering("init", {"router": answer})


@pytest.mark.parametrize(
    "answer",
    [
        *("x", b"x", {}, {"a": 1}, [None], [[1, 2], [3]], [["a"]], 1, 10**400, [10**400], [[2**70] * 4] * 2, 1j),
        *(np.ones((2, 4)) * 1j, [np.zeros(2), np.zeros(3)], np.ones(8), [], [[]], [[1.0] * 4] * 3, [[1.0] * 5] * 2),
        *([[math.nan] * 4] * 2, [[math.inf] * 4] * 2, [[1e300] * 4] * 2, np.full((2, 4), 1e300)),
    ],
    ids=lambda answer: repr(answer)[:30],
)
@pytest.mark.parametrize("name", ["bias", "memory"])
def test_state_is_finite_numbers_of_its_shape(name, answer):
    shape = r"\(2, 4\)" if name == "bias" else r"\(2, 4, 4\)"
    with pytest.raises(Invalid, match=f"{name} of init must be (finite |real |)numbers of shape {shape}"):
        answering("init", {name: answer})


@pytest.mark.parametrize(
    "answer",
    [
        *ODD,
        *([1.0] * 3, [1.0] * 3 + [0.5], [0.5] + [1.0] * 4, [1.0] * 5, [1.0] * 4 + [-1.0], [1.0] * 4 + [math.nan]),
        *([1.0] * 4 + ["0"], [1.0] * 4 + [None], [1.0] * 4 + [[0.0]], [[1.0]] * 4, np.ones(4), [np.ones(2)] * 4),
        *([1.0] * 4 + [np.zeros(2)], {0: 1.0}, "1111", [1.0] * 4 + [0j]),
    ],
    ids=lambda answer: repr(answer)[:40],
)
def test_cost_returns_what_it_was_given_and_zeros(answer):
    with pytest.raises(
        Invalid, match=r"cost must return the widths that it was given, and a 0.0 for each expert without computation"
    ):
        answering("cost", answer, "widths")


def test_there_are_at_most_twice_as_many_experts_without_computation_as_true_ones():
    assert answering("cost", [1.0] * 4 + [0.0] * 8).experts == 12
    with pytest.raises(Invalid, match="cost adds 9 experts to 4; at most 8 may be added"):
        answering("cost", [1.0] * 4 + [0.0] * 9)


@pytest.mark.parametrize("answer", [*ODD, {"K": 1}, {0: 1}], ids=repr)
def test_a_schedule_is_a_dict_of_what_there_is(answer):
    with pytest.raises(
        Invalid, match="schedule must return a dict with some of: k, coefficient, temperature, noise, capacity; got "
    ):
        answering("schedule", answer).schedule(0, 1, 0.01)


@pytest.mark.parametrize(
    "answer",
    [0, 5, -1, 1.0, True, None, "2", [1], [1, 2, 3], [1, 0], [1, 5], [1, 2.0], [1, True], np.array([1, 2]), {}, 10**400],
    ids=repr,
)
def test_k_is_between_one_and_all_experts(answer):
    with pytest.raises(Invalid, match="k must be an integer from 1 to 4, or one for each of 2 layers; got "):
        answering("schedule", {"k": answer}).schedule(0, 1, 0.01)


@pytest.mark.parametrize(("name", "low"), [("coefficient", "0"), ("temperature", "1e-06"), ("noise", "0"), ("capacity", "0")])
@pytest.mark.parametrize(
    "answer",
    [-1, -1e-9, math.nan, math.inf, 1e7, 10**400, -(10**400), True, None, "1", [1.0], np.ones(1), np.ones(()), 1j],
    ids=repr,
)
def test_numbers_of_a_schedule_have_bounds(name, low, answer):
    with pytest.raises(Invalid, match=f"{name} must be a number from {low} to 1e\\+06, got "):
        answering("schedule", {name: answer}).schedule(0, 1, 0.01)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.binary(max_size=5) | st.complex_numbers(),
    lambda more: st.lists(more, max_size=4) | st.dictionaries(st.sampled_from(["k", "bias", "router", "noise"]), more, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["init", "cost", "schedule"]), PLAIN)
def test_whatever_a_method_says_is_taken_or_invalid(hook, answer):
    try:
        answering(hook, answer).schedule(0, 1, 0.01)
    except Invalid as invalid:
        assert len(str(invalid)) < 1000  # noqa: PT017 - either is right
