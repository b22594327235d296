"""Makes traces: loads that are skewed, drift, follow the domain of the text and burst, and tokens that agree with them.

In layer l and window t, expert e has the logit ``log w = base + drift_t + shift[domain_t] + burst_t``. Its share of the choices is
w over the sum of all, but no more than 1/k, since a token goes to an expert once; what is cut off goes to the others in proportion.
Loads are a multinomial draw.

Single tokens choose k experts with logits that make expert e as likely as its load says, plus what the token's cluster thinks of
it, in the groups that routing is limited to. Clusters and the limit take from the busiest experts: with 256 experts, 4 of 8 groups
and 16 clusters, the part of the choices that lies elsewhere than loads say is 3 to 4 % for lognormal weights of deviation 1, 8 %
for Zipf 1 and 15 % for Zipf 2; with neither it is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evolve.evaluators.placement.sampling import choose, gumbel, logits_of
from evolve.evaluators.placement.trace import Trace

#: What LPLB's normal weights are cut off at, in units of their mean: weights must be positive.
_LEAST_NORMAL = 0.01

_COUNTS = (
    *("layers", "experts", "groups", "group_limit", "k", "windows", "steps_per_window", "tokens_per_step", "sampled"),
    *("domains", "burst_windows", "clusters"),
)


@dataclass(frozen=True, slots=True)
class TraceConfig:
    """What a trace is like; by default DeepSeek-V3's sizes and loads that are even.

    Attributes:
        layers: L.
        experts: E, at most 32767.
        groups: Groups of experts (G), a divisor of E.
        group_limit: Groups that a token's experts may lie in.
        k: Experts of a token, at most those of ``group_limit`` groups.
        windows: t.
        steps_per_window: Steps that a window sums up.
        tokens_per_step: Tokens in a step, all GPUs together.
        sampled: Tokens of each window whose experts are given one by one (n); 0 for none.
        lognormal: Standard deviation of the base logits.
        zipf: Exponent s of base weights ``rank ** -s``; ranks are random in every layer.
        normal: Standard deviation of base weights around 1.
        layer_spread: Layers differ in skew: the base logits are multiplied by 1 - this in the first layer up to 1 + this in the
            last; below 1.
        drift: Standard deviation of what drifts, a stationary AR(1) process for each expert.
        persistence: Correlation of that in neighbouring windows, in [0, 1).
        domains: Domains of text, of which each window has one.
        domain_shift: Standard deviation of a domain's shift of the logits.
        stay: Probability that a window has the domain of the one before; any of the others follows with equal probability.
        burst_rate: Probability that an expert's burst begins in a window.
        burst_windows: Windows that a burst lasts.
        burst_factor: What the weight is multiplied by in a burst.
        clusters: Clusters of tokens, equally many in each; a token is in the same in all layers, which correlates experts within
            layers and across them.
        affinity: Standard deviation of the clusters' logits for experts.

    Raises:
        ValueError: If a value is out of range.
    """

    layers: int = 58
    experts: int = 256
    groups: int = 8
    group_limit: int = 4
    k: int = 8
    windows: int = 28
    steps_per_window: int = 100
    tokens_per_step: int = 16384
    sampled: int = 256
    lognormal: float = 0.0
    zipf: float = 0.0
    normal: float = 0.0
    layer_spread: float = 0.0
    drift: float = 0.0
    persistence: float = 0.9
    domains: int = 1
    domain_shift: float = 0.0
    stay: float = 0.85
    burst_rate: float = 0.0
    burst_windows: int = 3
    burst_factor: float = 1.0
    clusters: int = 16
    affinity: float = 1.0

    def __post_init__(self) -> None:
        for name in _COUNTS:
            least = int(name != "sampled")
            if not isinstance(getattr(self, name), int | np.integer) or getattr(self, name) < least:
                raise ValueError(f"{name} must be a whole number >= {least}, got {getattr(self, name)}")
        for name in ("lognormal", "zipf", "normal", "drift", "domain_shift", "affinity"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be >= 0 and finite, got {getattr(self, name)}")
        for name in ("layer_spread", "persistence"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        for name in ("stay", "burst_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if not 0 < self.burst_factor < np.inf:
            raise ValueError(f"burst_factor must be > 0 and finite, got {self.burst_factor}")
        self._check_routing()

    def _check_routing(self) -> None:
        if self.experts > np.iinfo(np.int16).max:
            raise ValueError(f"experts must be <= {np.iinfo(np.int16).max}, got {self.experts}")
        if self.experts % self.groups:
            raise ValueError(f"groups must divide the {self.experts} experts; got {self.groups}")
        if self.group_limit > self.groups:
            raise ValueError(f"group_limit must be <= groups = {self.groups}, got {self.group_limit}")
        within = self.group_limit * (self.experts // self.groups)
        if self.k > within:
            raise ValueError(f"k must be <= {within}, the experts of {self.group_limit} groups; got {self.k}")


def generate(config: TraceConfig, rng: np.random.Generator, name: str = "") -> Trace:
    """Makes a trace.

    Args:
        config: What it is like.
        rng: Chance; loads do not depend on how many tokens are sampled.
        name: What the trace is called.
    """
    logits = _base(config, rng) + _drift(config, rng) + _regimes(config, rng) + _bursts(config, rng)
    share = capped(logits, config.k)
    load = _draw(share, config.tokens_per_step * config.steps_per_window, config.k, rng)
    tokens = _tokens(config, load, rng) if config.sampled else None
    return Trace(load, config.steps_per_window, config.k, config.groups, tokens, name)


def capped(logits: np.ndarray, k: int) -> np.ndarray:
    """Turns logits ``(..., E)`` into shares with sum 1 and none above 1/k: what is above goes to the others in proportion."""
    weight = np.exp(logits - logits.max(-1, keepdims=True))
    share: np.ndarray = weight / weight.sum(-1, keepdims=True)
    full = np.zeros(share.shape, bool)
    # Each round fills at least one more expert, and k full ones have everything.
    for _ in range(k):
        over = ~full & (share > 1 / k)
        if not over.any():
            break
        full |= over
        free = np.where(full, 0.0, weight)
        room = 1 - full.sum(-1, keepdims=True) / k
        share = np.where(full, 1 / k, free * (room / np.maximum(free.sum(-1, keepdims=True), np.finfo(float).tiny)))
    return share


def _base(config: TraceConfig, rng: np.random.Generator) -> np.ndarray:
    shape = (config.layers, config.experts)
    base = config.lognormal * rng.standard_normal(shape)
    ranks = rng.permuted(np.broadcast_to(np.arange(1, config.experts + 1), shape), axis=1)
    base -= config.zipf * np.log(ranks)
    base += np.log(np.maximum(1 + config.normal * rng.standard_normal(shape), _LEAST_NORMAL))
    spread = np.linspace(1 - config.layer_spread, 1 + config.layer_spread, config.layers)
    result: np.ndarray = base * spread[:, None]
    return result


def _drift(config: TraceConfig, rng: np.random.Generator) -> np.ndarray:
    """``(t, L, E)``: stationary from the first window on."""
    drift = rng.standard_normal((config.windows, config.layers, config.experts))
    fresh = np.sqrt(1 - config.persistence**2)
    for window in range(1, config.windows):
        drift[window] = config.persistence * drift[window - 1] + fresh * drift[window]
    return config.drift * drift


def _regimes(config: TraceConfig, rng: np.random.Generator) -> np.ndarray:
    """``(t, L, E)``: the shift of each window's domain."""
    shift = config.domain_shift * rng.standard_normal((config.domains, config.layers, config.experts))
    moves = rng.random(config.windows) >= config.stay
    steps = rng.integers(1, max(config.domains, 2), config.windows)  # to any other domain alike
    domain = np.cumsum(moves * steps) % config.domains
    result: np.ndarray = shift[domain]
    return result


def _bursts(config: TraceConfig, rng: np.random.Generator) -> np.ndarray:
    """``(t, L, E)``: bursts that began before the first window go on in it."""
    before = config.burst_windows - 1
    begins = rng.random((before + config.windows, config.layers, config.experts)) < config.burst_rate
    bursting = np.zeros((config.windows, config.layers, config.experts), bool)
    for age in range(config.burst_windows):
        bursting |= begins[before - age : before - age + config.windows]
    result: np.ndarray = np.log(config.burst_factor) * bursting
    return result


def _draw(share: np.ndarray, tokens: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """Draws loads ``(t, L, E)`` with sum k * tokens, of which no expert has more than ``tokens``."""
    load = rng.multinomial(k * tokens, share)
    # Each round fills at least one more expert.
    while (rows := (load > tokens).any(-1)).any():
        kept = np.minimum(load[rows], tokens)
        # An expert without any share takes some too, where all others are full.
        free = np.where(kept < tokens, np.maximum(share[rows], 1e-12), 0.0)
        load[rows] = kept + rng.multinomial((load[rows] - kept).sum(-1), free / free.sum(-1, keepdims=True))
    return load


def _tokens(config: TraceConfig, load: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """``(t, L, n, k)`` int16: other tokens in every window, of the same clusters."""
    noise = gumbel((config.layers, config.sampled, config.experts), rng)
    affinity = config.affinity * rng.standard_normal((config.clusters, config.layers, config.experts), dtype=np.float32)
    # An expert is as popular on the whole as without clusters.
    affinity -= np.log(np.exp(affinity).mean(0))
    cluster = rng.permutation(np.arange(config.sampled) % config.clusters)
    liking = np.moveaxis(affinity[cluster], 0, 1)
    shifts = rng.permutation(config.sampled * config.experts)
    chosen = []
    for window, one in enumerate(load):
        # Noise that goes to other experts of other tokens is noise as before, and makes other tokens; to draw it takes far longer.
        shift = divmod(int(shifts[window % len(shifts)]), config.experts)
        scores = logits_of(one, config.k)[:, None] + liking + np.roll(noise, shift, (1, 2))
        chosen.append(choose(scores, config.k, config.groups, config.group_limit))
    return np.stack(chosen)
