"""Scores how a program cuts dense networks into experts: by what the mixture predicts after a short distillation.

Models, text, training and measuring are here; of the program there is only which hidden unit goes to which expert, and what the
terms of the distillation's loss weigh. Every program's mixture computes the same for a byte, so that only the cut counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from evolve.evaluators import Invalid, IsolatedProgram, Metric, Score
from evolve.evaluators.moe import metrics
from evolve.evaluators.moe.conversion import Chosen, Examined, Layout, convert, examine
from evolve.evaluators.moe.corpus import load_corpus
from evolve.evaluators.moe.dense import dense_size, nowhere, train_dense
from evolve.evaluators.moe.descent import deterministic, training_batch
from evolve.evaluators.moe.distillation import DistillationConfig, Terms, distil
from evolve.evaluators.moe.measuring import HeldOut, cross_entropy, cross_entropy_by_domain, held_out
from evolve.evaluators.moe.model import Transformer
from evolve.evaluators.moe.spec import Size

#: Seeds of the dense models that a search sees; those of the held-out ones are others.
SEEDS, HELD_OUT_SEEDS = (0, 1), (1001,)
WIDTH, HELD_OUT_WIDTH = 64, 48
#: Steps of text that the importance of units is estimated on.
EXAMINED = 4
DISTILLATION = DistillationConfig()
TERMS = ("output", "features", "balance")
HIGHEST = 100.0


@dataclass(frozen=True, slots=True)
class Converted:
    """What came of one dense model.

    Attributes:
        dense: Nats per byte of the dense model, by domain.
        mixture: Of the mixture.
        counts: ``(D, L, E)`` bytes of held-out text that went to each normal expert.
    """

    dense: tuple[float, ...]
    mixture: tuple[float, ...]
    counts: np.ndarray


def smoke(program: IsolatedProgram) -> None:
    layout, rng = Layout.published(8), np.random.default_rng(0)
    shape = 2, layout.hidden
    importance = rng.random(shape, np.float32)
    activations = rng.standard_normal((2, 32, layout.hidden), np.float32)
    assigned(program, layout, Examined(importance, activations, rng.standard_normal((*shape, 16), np.float32)))
    weighed(program)


def evaluate(program: IsolatedProgram) -> Score:
    return scored(program, WIDTH, SEEDS)


def holdout(program: IsolatedProgram) -> Score:
    return scored(program, HELD_OUT_WIDTH, HELD_OUT_SEEDS)


def paired(program: IsolatedProgram, seed: int) -> Score:
    return scored(program, WIDTH, (seed,))


def scored(program: IsolatedProgram, width: int, seeds: tuple[int, ...]) -> Score:
    terms = weighed(program)
    size = dense_size(width)
    found = [converted(program, size, seed, terms) for seed in seeds]
    return reported(found, seeds)


def converted(program: IsolatedProgram, size: Size, seed: int, terms: Callable[[int], Terms]) -> Converted:
    """Trains a dense model, has the program cut it, distils and measures the mixture."""
    corpus, layout = load_corpus(), Layout.published(size.model.width)
    dense = train_dense(size, seed)
    with deterministic("cpu"):
        begin = size.training.steps
        known = examine(dense, [training_batch(corpus, size, seed, step) for step in range(begin, begin + EXAMINED)])
        student = convert(dense, assigned(program, layout, known), layout, seed)
        distil(student, dense, size, seed, config=DISTILLATION, terms=terms)
        text = held_out(corpus, size.training.held_out, size.model.length)
        mixture, counts = looked_at(student, text)
        return Converted(cross_entropy_by_domain(dense, text, nowhere), mixture, counts)


@torch.no_grad()
def looked_at(student: Transformer, text: HeldOut) -> tuple[tuple[float, ...], np.ndarray]:
    """Nats per byte by domain, and the bytes that went to each normal expert, ``(D, L, E)``."""
    losses, counts = [], []
    for domain in range(int(text.domains.max()) + 1):
        route = Chosen(student.config.active)
        tokens = torch.from_numpy(text.tokens[text.domains == domain].astype(np.int64))
        losses.append(float(cross_entropy(student, tokens, route).double().mean()))
        counts.append(torch.stack(route.masks).sum(1).numpy())
    return tuple(losses), np.stack(counts)


def assigned(program: IsolatedProgram, layout: Layout, known: Examined) -> np.ndarray:
    """Asks the program which hidden unit goes where."""
    answer = program.call("assign", known.importance, known.activations, known.weights, layout.shared, layout.experts)
    if not isinstance(answer, np.ndarray):
        raise Invalid(f"assign must return an array, got {type(answer).__name__}")
    try:
        layout.check(answer, len(known.importance))
    except ValueError as error:
        raise Invalid(f"assign: {error}") from None
    return answer.astype(np.int64)


def weighed(program: IsolatedProgram) -> Callable[[int], Terms]:
    """Asks the program, where it has a say, for the weights of all steps: they cannot depend on what a step finds."""
    with program.hooks(shared_mb=1) as hooks:
        says = "distillation" in hooks.defined
    if not says:
        return lambda _: Terms()
    stages = (("shared", DISTILLATION.shared_steps), ("experts", DISTILLATION.expert_steps))
    every = [one(program.call("distillation", stage, step, steps)) for stage, steps in stages for step in range(steps)]
    return every.__getitem__


def one(answer: object) -> Terms:
    """Checks the weights of one step; a term that is not named counts as published."""
    if not isinstance(answer, dict) or not set(answer) <= set(TERMS):
        raise Invalid(f"distillation must return a dict with some of {', '.join(TERMS)}, got {answer!r:.200}")
    for name, weight in answer.items():
        # The comparison is false for what is not a number, too.
        if type(weight) not in (int, float) or not 0 <= weight <= HIGHEST:
            raise Invalid(f"distillation: {name} must be a number from 0 to {HIGHEST:g}, got {weight!r:.100}")
    try:
        return Terms(**{name: float(weight) for name, weight in answer.items()})
    except ValueError as error:
        raise Invalid(f"distillation: {error}") from None


def reported(found: list[Converted], seeds: tuple[int, ...]) -> Score:
    dense = float(np.mean([each.dense for each in found]))
    mixture = float(np.mean([each.mixture for each in found]))
    loads = np.concatenate([each.counts.sum(0) for each in found])
    numbers = {
        "dense_cross_entropy": dense,
        "lost": Metric(mixture - dense, "minimize"),
        "max_violation": Metric(metrics.max_violation(loads), "minimize"),
        "dead_experts": Metric(metrics.dead_share(loads), "minimize"),
        "specialisation": float(np.mean([metrics.specialisation(each.counts) for each in found])),
    }
    domains = load_corpus().domains
    by_domain = np.mean([each.mixture for each in found], 0), np.mean([each.dense for each in found], 0)
    each_domain = ", ".join(f"{name} {ours:.4f} ({theirs:.4f})" for name, ours, theirs in zip(domains, *by_domain, strict=True))
    text = (
        f"mixture {mixture:.5f} nats per byte, dense model {dense:.5f}: {mixture - dense:.5f} lost\n"
        f"by domain, dense model in brackets: {each_domain}\n"
        f"busiest expert {1 + metrics.max_violation(loads):.2f} times the mean load, {metrics.dead_share(loads):.0%} of experts "
        f"idle, specialisation in domains {numbers['specialisation']:.3f}"
    )
    instances = {f"model {seed}": float(np.mean(each.mixture)) for seed, each in zip(seeds, found, strict=True)}
    return Score(mixture, numbers, text, figure=partial(draw, found[0].counts, domains), instances=instances)


def draw(counts: np.ndarray, domains: tuple[str, ...], path: str) -> None:
    """Draws how much of each domain went to each expert of every layer."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and only needed when a figure is asked for
    from matplotlib.figure import Figure

    layers, experts = counts.shape[1:]
    figure = Figure(figsize=(1.5 + 3.2 * layers, 3.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    every = metrics.shares(counts) * experts
    for layer, axes in enumerate(figure.subplots(1, layers, squeeze=False)[0]):
        image = axes.imshow(every[:, layer], aspect="auto", cmap="viridis", vmin=0, vmax=float(every.max()))
        axes.set(title=f"layer {layer}", xlabel="expert", xticks=range(experts), xticklabels=range(1, experts + 1))
        axes.set_yticks(range(len(domains)), domains if layer == 0 else [""] * len(domains))
        axes.tick_params(labelsize=7)
    figure.colorbar(image, ax=figure.axes, label="times an even load")
    figure.savefig(path)
