"""The four step sizes of one scheme: alf_const, alf_sign, alf_sqrt, alf_inverse."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

from routing_kit import PROBABILITIES, call, counts_of, method, seeded, top_k  # noqa: E402 - it needs torch

from evolve.evaluators.moe.methods import loss_free  # noqa: E402 - it needs torch

RULES = ["alf_const", "alf_sign", "alf_sqrt", "alf_inverse"]
PROPORTIONAL = ["alf_const", "alf_sqrt", "alf_inverse"]
a_row_of_counts = st.lists(st.integers(0, 100), min_size=4, max_size=4).filter(any)


def moved(rule, counts, step):
    inputs = {"counts": counts, "bias": torch.zeros_like(counts), "memory": torch.zeros(1, 4, 4), "step": torch.tensor(step)}
    bias, memory = call(method(rule).update, inputs)
    assert memory is inputs["memory"]
    return bias


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # The counts are 3, 1, 0, 0 and their mean 1: the lack e is -2, 0, 1, 1. The fourth update, n = 4.
        ("alf_const", [-0.02, 0, 0.01, 0.01]),
        ("alf_sign", [-0.01, 0, 0.01, 0.01]),
        ("alf_sqrt", [-0.1, 0, 0.05, 0.05]),  # 0.1 / 2
        ("alf_inverse", [-0.5, 0, 0.25, 0.25]),  # 1 / 4
    ],
)
def test_the_fourth_step_on_four_tokens_is_the_one_worked_by_hand(rule, expected):
    counts = counts_of(top_k(PROBABILITIES, 1))[None]
    assert moved(rule, counts, 3).tolist() == [pytest.approx(expected)]


@settings(deadline=None)  # a shared machine may stall
@given(a_row_of_counts, st.sampled_from(RULES), st.integers(0, 10_000))
def test_every_rule_moves_against_the_imbalance(row, rule, step):
    counts = torch.tensor([row], dtype=torch.float32)
    found = moved(rule, counts, step)
    assert torch.equal(found.sign(), (counts.mean(-1, keepdim=True) - counts).sign())


@settings(deadline=None)  # a shared machine may stall
@given(a_row_of_counts, st.sampled_from(PROPORTIONAL), st.integers(0, 10_000))
def test_what_is_given_to_some_experts_is_taken_from_others(row, rule, step):
    found = moved(rule, torch.tensor([row], dtype=torch.float32), step)
    assert float(found.sum()) == pytest.approx(0, abs=1e-5 * float(found.abs().max() + 1))


@settings(deadline=None)  # a shared machine may stall
@given(a_row_of_counts)
def test_the_rates_meet_at_the_hundredth_update(row):
    counts = torch.tensor([row], dtype=torch.float32)
    constant = moved("alf_const", counts, 99)
    assert torch.allclose(moved("alf_sqrt", counts, 99), constant)
    assert torch.allclose(moved("alf_inverse", counts, 99), constant)


@settings(deadline=None)  # a shared machine may stall
@given(a_row_of_counts)
def test_the_sign_rule_is_the_loss_free_one(row):
    counts = torch.tensor([row], dtype=torch.float32)
    assert torch.equal(moved("alf_sign", counts, 5), loss_free.update(counts, torch.zeros(1, 4), torch.zeros(1, 4, 4))[0])


@settings(deadline=None)  # a shared machine may stall
@given(st.sampled_from(PROPORTIONAL), st.integers(1, 50), a_row_of_counts)
def test_the_size_of_the_batch_does_not_matter(rule, times, row):
    counts = torch.tensor([row], dtype=torch.float32)
    assert torch.allclose(moved(rule, counts, 7), moved(rule, times * counts, 7), atol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_the_bias_is_in_the_choice_and_never_in_the_weights(rule):
    logits, bias = torch.randn(16, 8, generator=seeded(0)), torch.linspace(-3, 3, 8)
    selection, gates = method(rule).score(logits, bias)
    assert torch.equal(gates, logits.sigmoid())
    assert torch.equal(selection, gates + bias)
