"""Traces by name: what published loads are like, and what makes tomorrow's loads differ from today's.

Every preset has the sizes of DeepSeek-V3 (58 layers of 256 experts in 8 groups, 8 per token from at most 4 groups) and 28 windows.
A trace is a function of preset, split and number. Splits are streams of chance that have nothing in common: what a program learnt
by heart on ``search`` is worth nothing on ``hidden``. But what is drawn is no secret to a program that holds a copy of this source,
unless a text is mixed in that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType

from evolve.errors import ConfigError, nearest_hint
from evolve.evaluators.placement.generating import TraceConfig, generate
from evolve.evaluators.placement.trace import Trace
from evolve.rng import generator

#: What is drawn for a search, for choosing among what it found, and for the last word.
SPLITS = ("search", "validation", "hidden")

#: Gini's coefficients and the busiest expert in units of the mean are held by tests.
PRESETS: Mapping[str, TraceConfig] = MappingProxyType(
    {
        "even": TraceConfig(),
        "lognormal_05": TraceConfig(lognormal=0.5),
        "lognormal_1": TraceConfig(lognormal=1.0),
        # The range of skews that FineMoE is measured on. From 1 on, the busiest expert has every token, as many as it can.
        "zipf_0": TraceConfig(zipf=0.0),
        "zipf_05": TraceConfig(zipf=0.5),
        "zipf_1": TraceConfig(zipf=1.0),
        "zipf_15": TraceConfig(zipf=1.5),
        "zipf_2": TraceConfig(zipf=2.0),
        # The loads that LPLB's own tests draw.
        "normal_03": TraceConfig(normal=0.3),
        # With experts in order, the busiest of 32 GPUs has 1.3 (first layers) to 4 times the mean (some of the last): what UltraEP
        # reports, arXiv 2606.04101.
        "ultra": TraceConfig(lognormal=0.75, layer_spread=0.5),
        # Whoever balances the last window perfectly is at 0.71 of perfect balance in the next.
        "drift": TraceConfig(lognormal=1.0, drift=0.42, persistence=0.5),
        "regimes": TraceConfig(lognormal=0.5, domains=4, domain_shift=0.7, stay=0.8),
        "bursts": TraceConfig(lognormal=0.5, burst_rate=0.002, burst_windows=3, burst_factor=8.0),
        # A bit of everything, as a server sees it.
        "mixed": TraceConfig(
            lognormal=0.7,
            drift=0.2,
            persistence=0.8,
            domains=4,
            domain_shift=0.4,
            burst_rate=0.001,
            burst_factor=6.0,
        ),
    }
)

_FIELDS = tuple(field.name for field in fields(TraceConfig))


def trace_of(preset: str, split: str, number: int, *, secret: str = "", **changes: float) -> Trace:
    """Makes a trace: the same arguments give the same one.

    Another version of numpy, or a processor whose logarithms differ in the last bit, may give one that differs in some draws.

    Args:
        preset: One of `PRESETS`.
        split: One of `SPLITS`.
        number: Which of the preset's traces of that split, from 0.
        secret: Another text gives other traces: whoever knows this source and not the text cannot make them.
        changes: Fields of `TraceConfig` that differ from the preset's, such as ``windows=8``.

    Raises:
        ConfigError: If there is no such preset, split, number or field, or a field's value is out of range.
    """
    if preset not in PRESETS:
        raise ConfigError(f"there is no preset {preset!r} of traces; {nearest_hint(preset, list(PRESETS))}")
    if split not in SPLITS:
        raise ConfigError(f"there is no split {split!r}; expected one of {', '.join(SPLITS)}")
    if number < 0:
        raise ConfigError(f"the number of a trace must be >= 0, got {number}")
    for name in changes:
        if name not in _FIELDS:
            raise ConfigError(f"traces have no setting {name!r}; {nearest_hint(name, list(_FIELDS))}")
    try:
        config = replace(PRESETS[preset], **changes)  # type: ignore[arg-type]  # integers are checked there
    except ValueError as error:
        raise ConfigError(f"no trace like preset {preset!r} with these changes: {error}") from error
    rng = generator(number, 0, f"placement/{split}/{preset}{f'/{secret}' if secret else ''}")
    return generate(config, rng, name=f"{preset}, {split} {number}")
