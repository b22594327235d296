import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.evaluators.placement.generating import TraceConfig, capped, generate

SMALL = TraceConfig(
    layers=3, experts=16, groups=4, group_limit=2, k=2, windows=6, steps_per_window=10, tokens_per_step=200, sampled=40
)


def made(seed=0, **more):
    return generate(dataclasses.replace(SMALL, **more), np.random.default_rng(seed))


def logs(trace):
    """Logarithms of the loads, without each window's and layer's mean."""
    values = np.log(trace.load)
    return values - values.mean(-1, keepdims=True)


@st.composite
def configs(draw):
    groups, size = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    limit = draw(st.integers(1, groups))
    return TraceConfig(
        layers=draw(st.integers(1, 3)),
        experts=groups * size,
        groups=groups,
        group_limit=limit,
        k=draw(st.integers(1, limit * size)),
        windows=draw(st.integers(1, 4)),
        steps_per_window=draw(st.integers(1, 3)),
        tokens_per_step=draw(st.integers(1, 50)),
        sampled=draw(st.integers(0, 5)),
        **{name: draw(st.floats(0, 4)) for name in ("lognormal", "zipf", "normal", "drift", "domain_shift", "affinity")},
        **{name: draw(st.floats(0, 0.99)) for name in ("layer_spread", "persistence")},
        **{name: draw(st.floats(0, 1)) for name in ("stay", "burst_rate")},
        **{name: draw(st.integers(1, 4)) for name in ("domains", "burst_windows", "clusters")},
        burst_factor=draw(st.floats(0.1, 100)),
    )


@settings(deadline=None)
@given(configs(), st.integers(0, 1000))
def test_every_token_goes_to_k_experts_and_to_each_once(config, seed):
    trace = generate(config, np.random.default_rng(seed))
    tokens = config.tokens_per_step * config.steps_per_window
    assert trace.load.shape == (config.windows, config.layers, config.experts)
    assert (trace.load.sum(-1) == tokens * config.k).all()
    assert trace.load.max() <= tokens
    assert (trace.k, trace.groups, trace.steps_per_window) == (config.k, config.groups, config.steps_per_window)
    if not config.sampled:
        assert trace.tokens is None
        return
    assert trace.tokens.shape == (config.windows, config.layers, config.sampled, config.k)  # none twice: the trace checks that
    of_token = trace.tokens // (config.experts // config.groups)
    used = (of_token[..., None] == np.arange(config.groups)).any(-2).sum(-1)
    assert used.max() <= config.group_limit


@settings(deadline=None)  # a shared machine may stall
@given(st.lists(st.floats(-30, 30), min_size=2, max_size=12), st.data())
def test_shares_are_in_proportion_up_to_the_cap(logits, data):
    k = data.draw(st.integers(1, len(logits)))
    share = capped(np.array(logits), k)
    assert share.sum() == pytest.approx(1)
    assert share.max() <= 1 / k + 1e-12
    free = share < 1 / k - 1e-9
    scale = (share / np.exp(logits))[free]
    assert scale == pytest.approx(np.full(len(scale), scale[0] if len(scale) else 0), rel=1e-6)
    # One that is cut off would have had more at that scale.
    assert not len(scale) or (np.exp(np.array(logits)[~free]) * scale[0] >= 1 / k - 1e-6).all()


def test_what_is_cut_off_goes_to_the_others():
    assert capped(np.log([8, 4, 2, 2]), 2) == pytest.approx([0.5, 0.25, 0.125, 0.125])
    assert capped(np.log([12, 2, 1, 1]), 2) == pytest.approx([0.5, 0.25, 0.125, 0.125])
    # The second only is over the cap once it has got its part of what the first lost.
    assert capped(np.log([90, 9, 1]), 2) == pytest.approx([0.5, 0.5 * 0.9, 0.5 * 0.1])
    assert capped(np.log([97, 2, 1, 1e-9]), 3) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=1e-6)
    assert capped(np.log([5, 1, 1]), 3) == pytest.approx([1 / 3] * 3)


def test_the_same_generator_gives_the_same_trace_and_another_one_other_draws():
    one, same, other = made(lognormal=1.0), made(lognormal=1.0), made(1, lognormal=1.0)
    assert (one.load == same.load).all()
    assert (one.tokens == same.tokens).all()
    assert (one.load != other.load).any()
    assert (one.tokens != other.tokens).any()


def test_loads_do_not_depend_on_the_tokens_that_are_sampled():
    assert (made(sampled=0).load == made(sampled=7).load).all()


def test_what_drifts_has_the_deviation_and_persistence_that_it_was_given():
    drift = {"drift": 0.5, "tokens_per_step": 10**5, "experts": 64, "groups": 1, "group_limit": 1, "windows": 40, "layers": 8}
    values = logs(made(sampled=0, persistence=0.7, **drift))
    assert values.std() == pytest.approx(0.5, abs=0.02)  # 8 x 64 experts with some 7 windows' worth of independent draws each
    neighbours = np.corrcoef(values[1:].ravel(), values[:-1].ravel())[0, 1]
    assert neighbours == pytest.approx(0.7, abs=0.03)
    later = np.corrcoef(values[3:].ravel(), values[:-3].ravel())[0, 1]
    assert later == pytest.approx(0.7**3, abs=0.04)


def test_domains_take_turns_and_come_back():
    values = logs(made(sampled=0, domains=3, domain_shift=1.0, stay=0.6, windows=40, tokens_per_step=10**5))
    alike = np.corrcoef(values.reshape(40, -1)) > 0.9
    kinds = {tuple(row) for row in alike}
    assert len(kinds) == 3  # each window looks like all others of its domain, and like no other
    turns = int((~alike[np.arange(39), np.arange(1, 40)]).sum())
    assert 8 <= turns <= 24  # 39 x .4 = 15.6, deviation 3.1


def test_one_domain_never_changes():
    values = logs(made(sampled=0, domain_shift=1.0, stay=0.0, tokens_per_step=10**5))
    assert np.abs(values - values[0]).max() < 0.1


def test_bursts_last_as_many_windows_as_they_should():
    bursts = {"burst_rate": 0.004, "burst_windows": 3, "burst_factor": 20.0, "windows": 60, "tokens_per_step": 10**4}
    trace = made(sampled=0, experts=64, groups=1, group_limit=1, **bursts)
    hot = trace.load > 5 * np.median(trace.load, -1, keepdims=True)
    assert hot.mean() == pytest.approx(3 * 0.004, rel=0.3)  # some 46 bursts
    begins = hot[1:-2] & ~hot[:-3]  # bursts that are seen from their first window to their last
    at = np.argwhere(begins)
    assert len(at) > 20
    assert all(hot[before + 1 : before + 4, layer, expert].all() for before, layer, expert in at)


def test_layers_differ_in_skew_where_they_should():
    values = logs(made(sampled=0, lognormal=1.0, layer_spread=0.5, experts=512, groups=1, group_limit=1, tokens_per_step=10**6))
    assert values[0].std(-1) == pytest.approx([0.5, 1.0, 1.5], rel=0.12)  # three standard errors: 3 / sqrt(2 x 512) = .094


def test_zipf_gives_each_rank_once_in_every_layer_and_in_an_order_of_its_own():
    load = made(sampled=0, zipf=1.0, k=1, tokens_per_step=10**6).load[0]
    share = 1 / np.arange(1, 17)
    for row in load:
        assert np.sort(row)[::-1] / row.sum() == pytest.approx(share / share.sum(), abs=0.001)
    assert len({tuple(row.argsort()) for row in load}) == 3


def together(trace):
    """How often experts i and j of a layer are chosen by one token, in units of what independent choices would give: (L, E, E)."""
    chosen = (trace.tokens[..., None] == np.arange(trace.experts)).any(-2).astype(float)[0]  # (L, n, E)
    return np.einsum("lni,lnj->lij", chosen, chosen) / chosen.sum(1)[:, :, None] / chosen.mean(1)[:, None]


def test_clusters_make_experts_be_chosen_together_within_layers_and_across():
    spread, chance = {}, {"sampled": 4000, "windows": 1, "group_limit": 4, "clusters": 4}
    for affinity in (0.0, 2.0):
        trace = made(affinity=affinity, **chance)
        off = ~np.eye(16, dtype=bool)
        chosen = (trace.tokens[..., None] == np.arange(16)).any(-2).astype(float)[0]
        across = np.corrcoef(chosen[0].T, chosen[1].T)[:16, 16:]
        spread[affinity] = (together(trace)[:, off].std(), across.std())
    assert spread[2.0][0] > 3 * spread[0.0][0]
    # Without clusters layers have nothing in common: 1 / sqrt(4000) = .016.
    assert spread[0.0][1] < 0.02 < 0.06 < spread[2.0][1]


def test_sampled_tokens_choose_experts_about_as_often_as_loads_say():
    sizes = {"experts": 256, "groups": 8, "group_limit": 4, "k": 8, "layers": 4, "windows": 1, "sampled": 4096}
    trace = made(lognormal=1.0, tokens_per_step=10**4, **sizes)
    sampled = (trace.tokens[..., None] == np.arange(256)).sum((2, 3))[0] / (4096 * 8)
    share = trace.load[0] / trace.load[0].sum(-1, keepdims=True)
    # .03 is the noise of so many tokens alone: sum of sqrt(share / 32768 x 2 / pi) / 2, 7/8 of sqrt(256 / 32768 x 2 / pi) / 2.
    assert 0.02 < np.abs(sampled - share).sum(-1).mean() / 2 < 0.06
    assert np.corrcoef(sampled.ravel(), share.ravel())[0, 1] > 0.98


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"layers": 0}, "layers must be a whole number >= 1, got 0"),
        ({"windows": 2.5}, "windows must be a whole number >= 1, got 2.5"),
        ({"sampled": -1}, "sampled must be a whole number >= 0, got -1"),
        ({"tokens_per_step": 0}, "tokens_per_step must be"),
        ({"lognormal": -0.1}, "lognormal must be >= 0 and finite, got -0.1"),
        ({"drift": float("nan")}, "drift must be >= 0 and finite, got nan"),
        ({"zipf": float("inf")}, "zipf must be >= 0 and finite, got inf"),
        ({"persistence": 1.0}, r"persistence must lie in \[0, 1\), got 1.0"),
        ({"layer_spread": 1.0}, r"layer_spread must lie in \[0, 1\)"),
        ({"stay": 1.5}, r"stay must lie in \[0, 1\], got 1.5"),
        ({"burst_rate": -0.5}, r"burst_rate must lie in \[0, 1\], got -0.5"),
        ({"burst_factor": 0.0}, "burst_factor must be > 0 and finite, got 0.0"),
        ({"experts": 32768}, "experts must be <= 32767, got 32768"),
        ({"groups": 3}, "groups must divide the 16 experts; got 3"),
        ({"group_limit": 5}, "group_limit must be <= groups = 4, got 5"),
        ({"group_limit": 1, "k": 5}, "k must be <= 4, the experts of 1 groups; got 5"),
    ],
)
def test_a_setting_out_of_range_is_refused(more, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **more)
