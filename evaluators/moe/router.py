"""One pass of tokens through all layers: every layer's choice of experts, and what the trainer wants to know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from evolve.evaluators.base import Invalid
from evolve.evaluators.moe.balancer import Balancer, Schedule
from evolve.evaluators.moe.calling import Method
from evolve.evaluators.moe.model import Routed
from evolve.evaluators.moe.vocabulary import PER_TOKEN

#: Share of tokens that are asked about again by the guard and may come out otherwise: ties between experts, last digits of sums.
#: Up to three tokens may in any case, if that is no more than one in fifty: in small batches one is a larger share.
_TOLERATED = 0.002
_TOLERANCE = 1e-4


class Seen(NamedTuple):
    """What a layer did in one pass.

    Attributes:
        logits: ``(T, E)``, of the router, not divided by the temperature.
        gates: ``(T, E)``.
        weights: ``(T, E)``, after dropping; with gradients kept if the pass was asked to keep them.
        mask: ``(T, E)`` bool, before dropping: what the method chose.
        dropped: How many choices were lost to a full expert.
    """

    logits: Tensor
    gates: Tensor
    weights: Tensor
    mask: Tensor
    dropped: int


@dataclass(frozen=True, slots=True)
class Company:
    """Other tokens that the guard puts beside those that it asks about again.

    Attributes:
        order: ``(T,)`` a permutation.
        kept: ``(T,)`` bool, the rows that stay what they are; the others get another token's logits, each moved on by one expert,
            so that other experts are in demand.
        nudge: ``(T,)`` about 1, what every row is multiplied by: so little that the answer stays, and enough for a program not to
            know the row again that it has answered for.
    """

    order: Tensor
    kept: Tensor
    nudge: Tensor


class Pass:
    """Routes tokens, as `model.Route` asks, and keeps what it saw."""

    def __init__(
        self,
        balancer: Balancer,
        schedule: Schedule,
        step: int,
        *,
        training: bool,
        generator: torch.Generator,
        keep_gradients: bool = False,
        company: Company | None = None,
        witness: Method | None = None,
    ) -> None:
        """Prepares one pass.

        Args:
            balancer: The method and its state.
            schedule: Of the step.
            step: From 0.
            training: Whether experts may be full and noise is drawn.
            generator: Draws noise, and in evaluation the order in which hooks see the tokens. What one layer draws does not
                depend on what the method asks for.
            keep_gradients: Whether the gradients of weights are wanted.
            company: Has the guard ask the hooks again, with these other tokens beside.
            witness: The same hooks in a process that has not seen these tokens, for the guard to ask; without one, the process
                is asked that has.
        """
        self._balancer = balancer
        self.schedule = schedule
        self._moment = {"step": torch.tensor(step), "training": torch.tensor(training)}
        self._training = training
        self._generator = generator
        self._keep_gradients = keep_gradients
        self._company = company
        self._witness = balancer if witness is None else balancer.asking(witness)
        self._hooked = any(balancer.defines(hook) for hook in PER_TOKEN)
        self.seen: list[Seen] = []

    def __call__(self, layer: int, logits: Tensor) -> Routed:
        noise = self._noise(logits)
        # Hooks see the tokens of a finished model in no order, so that none can tell which token comes after another.
        order = None if self._training or not self._hooked else self._shuffled(logits)
        rows = logits if order is None else logits[order]
        gates, weights, mask = self._routed(self._balancer, layer, rows, noise)
        if self._company is not None and self._hooked:
            self._ask_again(layer, rows.detach(), noise, weights.detach(), mask)
        if order is not None:
            back = order.argsort()
            gates, weights, mask = gates[back], weights[back], mask[back]
        kept, dropped = self._within_capacity(mask)
        if dropped:
            weights = weights * kept
        if self._keep_gradients and weights.requires_grad:
            weights.retain_grad()
        self.seen.append(Seen(logits, gates, weights, mask, dropped))
        return Routed(weights, kept)

    def _routed(
        self, balancer: Balancer, layer: int, logits: Tensor, noise: Callable[[str], Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gates, weights and mask of some rows."""
        if self.schedule.temperature != 1.0:
            logits = logits / self.schedule.temperature
        k = {"k": torch.tensor(self.schedule.k[layer])}
        drawn = {"noise": lambda: noise("noise") * self.schedule.noise, "uniform": lambda: noise("uniform")}
        selection, gates = balancer.score(layer, {"logits": logits, **drawn, **self._moment})
        mask = balancer.select(layer, {"selection": selection.detach(), **k, **drawn, **self._moment})
        weights = balancer.gate(layer, {"gates": gates, "mask": mask, **k, **self._moment})
        return gates, weights, mask

    def _shuffled(self, logits: Tensor) -> Tensor:
        return torch.randperm(len(logits), generator=self._generator).to(logits.device)

    def _noise(self, logits: Tensor) -> Callable[[str], Tensor]:
        """What hooks may ask for that is drawn: the same each time within a layer, nothing of it in evaluation."""
        if not self._training:
            return lambda kind: torch.full_like(logits, 0.0 if kind == "noise" else 0.5)
        drawn: dict[str, Tensor] = {}
        seed = int(torch.randint(2**62, (), generator=self._generator))

        def draw(kind: str) -> Tensor:
            if kind not in drawn:
                generator = torch.Generator().manual_seed(seed + (kind == "uniform"))
                some = torch.randn if kind == "noise" else torch.rand
                drawn[kind] = some(logits.shape, generator=generator).to(logits.device)
            return drawn[kind]

        return draw

    def _ask_again(self, layer: int, rows: Tensor, noise: Callable[[str], Tensor], weights: Tensor, mask: Tensor) -> None:
        """Asks about the same tokens in other company.

        Raises:
            Invalid: If what the hooks say of a token depends on the tokens beside it.
        """
        assert self._company is not None
        order, kept = self._company.order, self._company.kept
        others = (torch.where(kept.unsqueeze(1), rows, rows.roll((1, 1), (0, 1))) * self._company.nudge.unsqueeze(1))[order]
        with torch.no_grad():
            _, again, chosen = self._routed(self._witness, layer, others, lambda kind: noise(kind)[order])
        before = weights[order]
        # Experts that are chosen with weight 0 count as load.
        differs = ((again - before).abs() > _TOLERANCE * before.abs().clamp_min(1)) | (chosen != mask[order])
        differs = differs.any(-1)[kept[order]]
        if int(differs.sum()) > max(min(3, differs.numel() // 50), _TOLERATED * differs.numel()):
            raise Invalid(
                f"layer {layer}: {int(differs.sum())} of {differs.numel()} tokens were routed otherwise with other tokens beside "
                "them; what becomes of a token may depend on its own logits, on bias and memory only (others may come after it)"
            )

    def _within_capacity(self, mask: Tensor) -> tuple[Tensor, int]:
        """The choices that experts have room for, first come, first served; and how many are lost."""
        if not self._training or not self.schedule.capacity:
            return mask, 0
        room = max(1, round(self.schedule.capacity * float(mask.sum()) / mask.shape[1]))
        kept = mask & (mask.cumsum(0) <= room)
        return kept, int(mask.sum() - kept.sum())
