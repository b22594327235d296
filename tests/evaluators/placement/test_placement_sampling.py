import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.evaluators.placement.sampling import choose, gumbel, logits_of


def slowly(scores, k, groups, limit):
    """What `choose` does for one token, in the words of its docstring."""
    size = len(scores) // groups
    worth = [sum(sorted(scores[group * size : (group + 1) * size])[-2:]) for group in range(groups)]
    open_groups = sorted(range(groups), key=lambda group: -worth[group])[:limit]
    experts = [expert for expert in range(len(scores)) if expert // size in open_groups]
    return sorted(sorted(experts, key=lambda expert: -scores[expert])[:k])


@settings(deadline=None)  # a shared machine may stall
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 5), st.data())
def test_tokens_get_the_best_experts_of_the_best_groups(seed, groups, size, data):
    limit = data.draw(st.integers(1, groups))
    k = data.draw(st.integers(1, limit * size))
    scores = np.random.default_rng(seed).standard_normal((3, 2, groups * size)).astype(np.float32)
    expected = [[slowly(row.tolist(), k, groups, limit) for row in rows] for rows in scores]
    chosen = choose(scores, k, groups, limit)
    assert chosen.dtype == np.int16
    assert chosen.tolist() == expected


def test_experts_are_chosen_as_often_as_loads_say():
    # 20 000 tokens: the standard deviation of a share of choices is below sqrt(.25 / 20000) / 4 = .0009. The logits are those of
    # a fixed time instead of the k-th arrival, which moves shares by a few per cent of themselves with as few experts as 32.
    load = np.random.default_rng(1).lognormal(0, 1, 32)
    scores = logits_of(load, 4) + gumbel((20_000, 32), np.random.default_rng(2))
    counts = np.bincount(choose(scores, 4, 1, 1).ravel(), minlength=32)
    share = load / load.sum()
    assert np.abs(counts / 80_000 - share).max() < 0.006
    # Logits log(load) would be off by far more: a busy expert can be chosen but once.
    plain = np.log(load).astype(np.float32) + gumbel((20_000, 32), np.random.default_rng(2))
    assert np.abs(np.bincount(choose(plain, 4, 1, 1).ravel(), minlength=32) / 80_000 - share).max() > 0.02


def test_logits_are_finite_for_experts_that_all_or_no_tokens_choose():
    logits = logits_of(np.array([[100, 0, 0, 100], [50, 50, 50, 50]]), 2)
    assert np.isfinite(logits).all()
    assert logits[0].argsort(kind="stable").tolist() == [1, 2, 0, 3]
    assert logits[1, 0] == pytest.approx(np.log(np.log(2)))  # half of the tokens have not chosen it at time log 2


def test_noise_is_gumbels():
    noise = gumbel((200_000,), np.random.default_rng(0))
    assert noise.dtype == np.float32
    # Mean: Euler's constant; variance pi^2 / 6. Four standard errors: 4 * 1.28 / 447 and, with kurtosis 5.4, 4 * 3.45 / 447.
    assert noise.mean() == pytest.approx(0.5772, abs=0.0115)
    assert noise.var() == pytest.approx(np.pi**2 / 6, abs=0.031)
