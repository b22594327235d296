"""Trains a language model whose experts a method balances, and measures both.

The trainer, the optimiser, the data and the clock are here, in the trusted process; of the method there is only what its hooks say
(`balancer`). The same seed gives every method the same initial weights, the same batches and the same noise, so that two
methods are compared as a pair.
"""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from evolve.evaluators.base import Invalid
from evolve.evaluators.moe.balancer import Balancer, Schedule
from evolve.evaluators.moe.calling import Method
from evolve.evaluators.moe.corpus import load_corpus
from evolve.evaluators.moe.descent import Descent, deterministic, finite
from evolve.evaluators.moe.measuring import Measured, cross_entropy, held_out, measure
from evolve.evaluators.moe.metrics import max_violation
from evolve.evaluators.moe.model import Transformer
from evolve.evaluators.moe.observed import Observed
from evolve.evaluators.moe.router import Company, Pass
from evolve.evaluators.moe.spec import ModelConfig, Size
from evolve.evaluators.moe.witness import check_loss, check_schedule, check_update

#: A share of the training after which a model is measured; the last one is what counts.
CHECKPOINTS = (1 / 3, 2 / 3, 1.0)

#: How far the guard moves logits, in units of themselves.
_NUDGE = 1e-6

#: Steps on which the guard asks hooks again, on average, besides the first.
_GUARDED = 10


class Start(NamedTuple):
    """What a training goes on from.

    Attributes:
        model: Of the same sizes and the same kind of router; it stays as it is.
        domain: Of the corpus, the only one that the training reads; empty for what the size's training says.
    """

    model: Transformer
    domain: str = ""


@dataclass(slots=True)
class Training:
    """What came of a training.

    Attributes:
        size: What was trained, and how.
        seed: Of weights, batches and noise.
        domains: Of the corpus, in the order of the measurements.
        model: As it ended.
        balancer: The method, in the state that it ended in.
        checkpoints: Measurements after each of `CHECKPOINTS`.
        losses: Cross-entropy of each step's batch, nats per byte.
        loads: ``(steps, L, E)`` int32, tokens of each step that chose each expert that computes.
        mixture: Domain of each step's micro-batches, by its place in ``domains``.
        micro_violation: MaxVio of each step's micro-batches, on average.
        dropped: Share of choices that found their expert full.
        spent: Floating-point operations of the training, in units of a step with k full experts per token.
        z_norm: Root mean square of the router's logits at the end.
        gradient_ratio: Norm of the balancing loss's gradient by the routers' weights in units of that of the cross-entropy, at the
            checkpoints; empty where it cannot be told apart.
        cpu_s: CPU seconds of this process.
        wall_s: Wall-clock seconds.
    """

    size: Size
    seed: int
    domains: tuple[str, ...]
    model: Transformer
    balancer: Balancer
    checkpoints: list[Measured] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    loads: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 0), np.int32))
    mixture: list[np.ndarray] = field(default_factory=list)
    micro_violation: list[float] = field(default_factory=list)
    dropped: float = 0.0
    spent: float = 0.0
    z_norm: float = 0.0
    gradient_ratio: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def final(self) -> Measured:
        return self.checkpoints[-1]


def train(
    method: Method, size: Size, seed: int, *, guarded: bool = True, witness: Method | None = None, start: Start | None = None
) -> Training:
    """Trains one model.

    A method that wants more computation than k full experts per token is charged for it: the training ends when as many
    operations are spent as the size's steps have at k, and the steps that such a method is told of are those that were paid for.
    One that wants less is given no more steps.

    Args:
        method: What balances.
        size: What is trained, and how.
        seed: Of weights, batches and noise.
        guarded: Whether hooks are asked again about tokens in other company (see `router.Pass`).
        witness: The same method in another process, for the guard to ask; without one the method itself is asked, and only about
            tokens.
        start: What it goes on from; None for weights that the seed draws.

    Raises:
        Invalid: If the method says what it may not, or the training diverges.
        ProgramFailed: If the method is a program's, and fails.
        ValueError: If the model has one expert: there is nothing to balance (see `dense.train_dense`).
        RuntimeError: If ``start`` is another kind of model.
    """
    if size.model.experts == 1:
        raise ValueError("a model of one expert is dense and has no routers: train it with dense.train_dense")
    with deterministic(size.training.device):
        trainer = _Trainer(method, size, seed, guarded=guarded, witness=witness)
        if start is not None:
            trainer.go_on_from(start)
        return trainer.run()


class _Trainer:
    """One training under way."""

    def __init__(self, method: Method, size: Size, seed: int, *, guarded: bool, witness: Method | None) -> None:
        self.size, self.config, self.seed, self.guarded, self.witness = size, size.training, seed, guarded, witness
        self.corpus = load_corpus()
        self.balancer = Balancer(method, size.model, self.config.device)
        self.model = Transformer(size.model, self.balancer.router, self.balancer.null_experts)
        self.model.initialise(seed)
        self.model.to(self.config.device)
        self.descent = Descent(self.model.named_parameters(), self.config)
        self.domain = ""
        self.text = held_out(self.corpus, self.config.held_out, size.model.length)
        for each in (method, witness):
            if each is not None:
                each.open(size.letters(self.balancer.experts))
        self.training = Training(size, seed, self.corpus.domains, self.model, self.balancer)

    def go_on_from(self, start: Start) -> None:
        self.model.load_state_dict(start.model.state_dict())
        self.domain = start.domain

    def run(self) -> Training:
        training, steps = self.training, self.config.steps
        began = time.process_time(), time.perf_counter()
        loads: list[np.ndarray] = []
        dropped = chosen = 0
        while (progress := max(len(loads), training.spent) / steps) < 1 - 1e-9:
            due = progress >= CHECKPOINTS[len(training.checkpoints)]
            if due:
                training.checkpoints.append(self._measure(round(progress * steps)))
            observed, lost = self._step(round(progress * steps), progress, tell_apart=due)
            loads.append(observed.counts[:, : self.size.model.experts].to("cpu", torch.int32).numpy())
            dropped, chosen = dropped + lost, chosen + int(observed.counts.sum())
        training.checkpoints.append(self._measure(steps))
        training.z_norm = float(observed.logits.detach().square().mean().sqrt())
        training.loads = np.stack(loads)
        training.dropped = dropped / max(1, chosen)
        training.cpu_s, training.wall_s = time.process_time() - began[0], time.perf_counter() - began[1]
        return training

    def _step(self, step: int, progress: float, *, tell_apart: bool) -> tuple[Observed, int]:
        """One step of the optimiser; returns what was observed and how many choices were dropped."""
        config = self.config
        schedule = self.balancer.schedule(step, config.steps, config.coefficient)
        tokens = self._batch(step)
        guarded = self.guarded and self._by_surprise()
        if guarded:
            self._ask_again(tokens, schedule, step)
        routing = self._pass(schedule, step, training=True, keep_gradients=self.balancer.asks("update", "contribution"))
        loss = self._cross_entropy(tokens, routing).mean()
        self.training.losses.append(finite(float(loss.detach()), step))
        observed = Observed(
            routing.seen,
            micro_batches=config.micro_batches,
            sequences=self.size.sequences,
            k=schedule.k,
            step=step,
            steps=config.steps,
        )
        weight = schedule.coefficient * config.coefficient_factor
        balance = self.balancer.loss(observed.inputs("loss")) if weight else None
        second = self.balancer.asking(self.witness) if guarded and self.witness is not None else None
        if second is not None:
            check_schedule(second, schedule, step, config)
            if weight:
                check_loss(second, observed, balance)
        if balance is not None and balance.requires_grad:
            if tell_apart:
                self._tell_apart(loss, weight * balance)
                for seen in routing.seen:
                    seen.weights.grad = None  # what has been retained would be added to in the step itself
            loss = loss + weight * balance
        self.descent.step(loss, progress, step)
        self.balancer.update(observed.inputs("update"))
        if second is not None:
            check_update(second, observed, self.balancer)
        self.training.micro_violation.append(max_violation(observed.micro_load[..., : self.size.model.experts].cpu().numpy()))
        self.training.spent += self._operations(observed.mask)
        return observed, sum(seen.dropped for seen in routing.seen)

    def _batch(self, step: int) -> Tensor:
        batch = self.corpus.train_batch(
            self.seed,
            step,
            micro_batches=self.config.micro_batches,
            sequences=self.config.sequences,
            length=self.size.model.length,
            weights=self._shares(step),
        )
        self.training.mixture.append(batch.domains)
        return torch.from_numpy(batch.tokens.astype(np.int64)).to(self.config.device)

    def _shares(self, step: int) -> dict[str, float] | None:
        """What each domain has of a step's text; None where all have the same."""
        if self.domain:
            return {self.domain: 1.0}
        if not self.config.shift:
            return None
        domains = self.corpus.domains
        middle = len(domains) // 2
        first = self.config.shift if 2 * step < self.config.steps else 1 - self.config.shift
        return {
            domain: first / middle if place < middle else (1 - first) / (len(domains) - middle)
            for place, domain in enumerate(domains)
        }

    def _pass(self, schedule: Schedule, step: int, *, training: bool, draw: int = 0, **more: Any) -> Pass:  # Any: see `Pass`
        generator = torch.Generator().manual_seed((self.seed * 2 + training) * 1_000_003 + step * 1009 + draw)
        return Pass(self.balancer, schedule, step, training=training, generator=generator, **more)

    def _cross_entropy(self, tokens: Tensor, routing: Pass) -> Tensor:
        """Nats per byte of each sequence."""
        with torch.autocast(self.config.device, torch.bfloat16, enabled=self.config.bfloat16):
            return cross_entropy(self.model, tokens, routing)

    def _tell_apart(self, loss: Tensor, balance: Tensor) -> None:
        """Compares the gradients of both losses by the routers' weights."""
        if self.balancer.defines("score") or self.balancer.defines("gate"):
            return  # a program's hooks give gradients once per call
        weights = [weight for name, weight in self.model.named_parameters() if ".router." in name]
        norms = []
        for one in (balance, loss):
            gradients = torch.autograd.grad(one, weights, retain_graph=True, allow_unused=True)
            norms.append(math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients if gradient is not None)))
        self.training.gradient_ratio.append(norms[0] / max(norms[1], 1e-12))

    def _ask_again(self, tokens: Tensor, schedule: Schedule, step: int) -> None:
        """Has the guard look at a training batch."""
        with torch.no_grad():
            self._cross_entropy(
                tokens, self._pass(schedule, step, training=True, company=self._company(step), witness=self.witness)
            )

    def _by_surprise(self) -> bool:
        """Whether the guard asks in the step that begins: the last loss decides, which no program is told and each repeats."""
        if not self.training.losses:
            return True
        drawn = hashlib.blake2b(repr(self.training.losses[-1]).encode(), digest_size=7).digest()
        return int.from_bytes(drawn, "big") % self.config.steps < _GUARDED

    def _company(self, step: int, draw: int = 0) -> Company:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step * 1009 + draw + 7)
        order = torch.randperm(self.size.tokens, generator=generator)
        kept = torch.rand(self.size.tokens, generator=generator) < 0.5
        nudge = 1 + _NUDGE * torch.randn(self.size.tokens, generator=generator)
        return Company(*(some.to(self.config.device) for some in (order, kept, nudge)))

    @torch.no_grad()
    def _measure(self, step: int) -> Measured:
        """Measures the model as it is after so many steps."""
        schedule = self.balancer.schedule(step, self.config.steps, self.config.coefficient)

        def look(start: int, tokens: Tensor) -> tuple[Tensor, Pass]:
            company = self._company(step, start) if self.guarded else None
            routing = self._pass(schedule, step, training=False, draw=start, company=company, witness=self.witness)
            return self._cross_entropy(tokens.to(self.config.device), routing), routing

        measured = measure(self.text, self.size, self.size.sequences, look)
        if not math.isfinite(measured.mean_cross_entropy):
            raise Invalid(
                f"after {step} steps the cross-entropy of held-out text is {measured.mean_cross_entropy}: the training diverged, "
                "or hooks say of a finished model what it cannot bear"
            )
        return measured

    def _operations(self, mask: Tensor) -> float:
        """Operations of a step with these choices, in units of one with k full experts per token."""
        model = self.size.model
        experts = float((mask.sum(1).float() * self.balancer.widths).sum()) / self.size.tokens
        each = 4 * model.width * model.expert_width
        others = _other_operations(model)
        return (others + each * experts) / (others + each * model.active * model.layers)


def _other_operations(model: ModelConfig) -> int:
    """Floating-point operations per token beside the experts': projections, attention, shared experts, the head."""
    layer = 8 * model.width**2 + 2 * model.length * model.width + 4 * model.width * model.shared_width
    return model.layers * layer + 2 * model.width * 256
