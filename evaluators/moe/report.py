"""A training as numbers and as text: what a score's metrics and feedback are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evolve.evaluators.base import Direction, Metric
from evolve.evaluators.moe import metrics
from evolve.evaluators.moe.trace import Trace
from evolve.evaluators.moe.trainer import Training

#: Devices that the experts of a layer are thought to lie on, where they can be dealt out evenly.
DEVICES = 8

#: Steps at the end that a mean over batches is taken of.
_LAST_STEPS = 50

_MINIMISED = ("cross_entropy", "max_violation", "l1_imbalance", "dead_experts", "active_flops", "training_flops")


def metrics_of(training: Training) -> dict[str, float]:
    """All that is measured of one training; see `metrics` for formulas. Loads are those on held-out text unless said otherwise."""
    final, last = training.final, training.loads[-_LAST_STEPS:]
    counts = final.counts.sum(0)
    tenth = max(1, len(training.losses) // 10)
    size, at_last = training.size, training.loads[-tenth:].sum(0)
    held_out = size.training.held_out * len(training.domains) * size.model.length
    bias = training.balancer.bias
    found = {
        "cross_entropy": final.mean_cross_entropy,
        "cross_entropy_at_third": training.checkpoints[0].mean_cross_entropy,
        "cross_entropy_at_two_thirds": training.checkpoints[1].mean_cross_entropy,
        "training_cross_entropy": float(np.mean(training.losses[-tenth:])),
        "training_l1_imbalance": metrics.l1_imbalance(at_last),
        "training_idle_choices": metrics.idle_share(at_last, tenth * size.tokens * size.model.active),
        "max_violation": metrics.max_violation(counts),
        "max_violation_batch": metrics.max_violation(last),
        "max_violation_micro": float(np.mean(training.micro_violation[-_LAST_STEPS:])),
        "min_violation": metrics.min_violation(counts),
        "average_violation": metrics.average_violation(counts),
        "l1_imbalance": metrics.l1_imbalance(counts),
        "idle_choices": metrics.idle_share(counts, held_out * size.model.active),
        "variation": metrics.variation(counts),
        "load_entropy": metrics.load_entropy(counts),
        "gini": metrics.gini(counts),
        "dead_experts": metrics.dead_share(counts),
        "specialisation": metrics.specialisation(final.counts),
        "bias_spread": float((bias.max(-1).values - bias.min(-1).values).max()),
        "router_entropy": final.router_entropy,
        "margin": final.margin,
        "z_norm": training.z_norm,
        "dropped": training.dropped,
        "active_flops": final.active,
        "training_flops": training.spent / size.training.steps,
        "loss_spikes": float(metrics.spikes(training.losses)),
        "training_cpu_s": training.cpu_s,
    }
    if counts.shape[-1] % DEVICES == 0:
        found["device_imbalance"] = metrics.device_imbalance(counts, DEVICES)
    if training.gradient_ratio:
        found["gradient_ratio"] = float(np.mean(training.gradient_ratio))
    return found


def means(several: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of the metrics that all of several trainings have."""
    names = [name for name in several[0] if all(name in one for one in several)]
    return {name: float(np.mean([one[name] for one in several])) for name in names}


def directed(found: Mapping[str, float]) -> dict[str, float | Metric]:
    """Metrics as a score wants them: those that should be small say so."""
    return {name: Metric(value, Direction.MINIMIZE) if name in _MINIMISED else value for name, value in found.items()}


def domains_of(training: Training) -> dict[str, float]:
    """Cross-entropy on held-out text of each domain."""
    return dict(zip(training.domains, training.final.cross_entropy, strict=True))


def trace_of(training: Training, method: str) -> Trace:
    """The loads of a training, for the placement simulator.

    Args:
        training: What came of it.
        method: What balanced it.
    """
    size = training.size
    mixture = np.stack(training.mixture).astype(np.int16)
    return Trace(training.loads, size.name, method, training.seed, size.model.active, size.tokens, tuple(training.domains), mixture)


def feedback(found: Mapping[str, float], seeds: int) -> str:
    """Tells in words how a program did, for the next prompt."""
    lines = [
        f"Held-out cross-entropy {found['cross_entropy']:.4f} nats per byte (mean of {seeds} seed{'s' if seeds > 1 else ''}; "
        f"{found['cross_entropy_at_third']:.4f} and {found['cross_entropy_at_two_thirds']:.4f} at a third and two thirds).",
        f"The busiest expert gets {1 + found['max_violation']:.2f} times the mean load on held-out text (MaxVio "
        f"{found['max_violation']:.3f}), {1 + found['max_violation_batch']:.2f} times within a training batch; L1 imbalance "
        f"{found['l1_imbalance']:.3f}, dead experts {found['dead_experts']:.1%}, specialisation by domain "
        f"{found['specialisation']:.3f}.",
    ]
    if found["active_flops"] > 1:
        lines.append(f"Experts compute {found['active_flops']:.3f} times what they may.")
    if "gradient_ratio" in found:
        lines.append(
            f"The balancing loss's gradient by the routers is {found['gradient_ratio']:.3g} times that of the cross-entropy."
        )
    return "\n".join(lines)
