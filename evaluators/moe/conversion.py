"""Cuts the feed-forward networks of a dense model into experts: one that every token goes through, and many of which few do.

A network of H hidden units becomes a shared expert of H_s of them and n normal experts of H_n each (H = H_s + n H_n); a token goes
through the shared one and k others. Cutting changes nothing by itself: with all experts chosen at weight 1 the answer is the dense
one's. What it is worth depends on which unit goes where (`splits`, or a program), and on how the parts are trained to do without
the rest (`distillation`).

Source: Dense2MoE (arXiv 2510.09094), which converts a diffusion transformer: r = 4, r_s = 1, n = 12 of r_n = 0.25, k = 2.
Ours: the chosen experts' weights sum to k, so that each begins with weight 1 on average as it has in the dense model.
Not verified: the paper's text was not at hand, only two notes on it that agree; how it normalises the weights is not in them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from evolve.evaluators.moe.balancer import top_k
from evolve.evaluators.moe.dense import nowhere
from evolve.evaluators.moe.measuring import cross_entropy
from evolve.evaluators.moe.model import Dense, Mixture, Routed, Transformer
from evolve.evaluators.moe.spec import ModelConfig

#: In an assignment, the expert that every token goes through; normal ones are numbered from 1.
SHARED = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """How many of a network's hidden units go where.

    Attributes:
        shared: Hidden units of the shared expert (H_s).
        experts: Normal experts (n).
        expert_width: Hidden units of each (H_n).
        active: Normal experts that a token goes to (k).
    """

    shared: int
    experts: int
    expert_width: int
    active: int

    def __post_init__(self) -> None:
        for name in ("shared", "expert_width", "active"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        # A model of one expert has no router; see `model.Transformer`.
        if self.experts < 2:
            raise ValueError(f"experts must be >= 2, got {self.experts}")
        if self.active > self.experts:
            raise ValueError(f"active must be <= experts = {self.experts}, got {self.active}")

    @classmethod
    def published(cls, width: int) -> Layout:
        """Dense2MoE's, for a model of this width: 62.5 % fewer active hidden units than the dense network's 4 x width.

        Raises:
            ValueError: If the width is no multiple of 4.
        """
        if width % 4:
            raise ValueError(f"width must be a multiple of 4, got {width}")
        return cls(shared=width, experts=12, expert_width=width // 4, active=2)

    @property
    def hidden(self) -> int:
        """Hidden units of the dense network (H)."""
        return self.shared + self.experts * self.expert_width

    @property
    def active_share(self) -> float:
        """Hidden units that a token goes through, as a share of the dense network's."""
        return (self.shared + self.active * self.expert_width) / self.hidden

    @property
    def sizes(self) -> list[int]:
        """Hidden units of the shared expert and of each normal one."""
        return [self.shared, *[self.expert_width] * self.experts]

    def check(self, assignment: np.ndarray, layers: int) -> None:
        """Sees that every unit has a place and every expert its size.

        Args:
            assignment: ``(L, H)`` integers: the expert of each hidden unit, `SHARED` or 1 to n.
            layers: L.

        Raises:
            ValueError: If that is not so.
        """
        if assignment.shape != (layers, self.hidden):
            raise ValueError(f"the assignment must have shape {(layers, self.hidden)}, got {assignment.shape}")
        if not np.issubdtype(assignment.dtype, np.integer):
            raise ValueError(f"the assignment must be whole numbers, got {assignment.dtype}")
        for layer, row in enumerate(assignment):
            if row.min() < 0 or row.max() > self.experts:
                outside = row[(row < 0) | (row > self.experts)][0]
                raise ValueError(f"layer {layer}: experts are 0 (shared) to {self.experts}, got {outside}")
            counts = np.bincount(row.astype(np.int64), minlength=self.experts + 1).tolist()
            if counts != self.sizes:
                wrong = next(expert for expert, count in enumerate(counts) if count != self.sizes[expert])
                raise ValueError(
                    f"layer {layer}: expert {wrong} has {counts[wrong]} hidden units, expected {self.sizes[wrong]}; "
                    f"the shared one (0) has {self.shared}, each of 1 to {self.experts} has {self.expert_width}"
                )

    def model(self, dense: ModelConfig) -> ModelConfig:
        """Sizes of what a dense model becomes.

        Raises:
            ValueError: If it is not dense, or has another number of hidden units.
        """
        if dense.experts != 1 or dense.expert_width != self.hidden:
            raise ValueError(
                f"expected a dense model of {self.hidden} hidden units, got {dense.experts} experts of {dense.expert_width}"
            )
        return replace(dense, experts=self.experts, active=self.active, expert_width=self.expert_width, shared_width=self.shared)


@dataclass(frozen=True, slots=True)
class Examined:
    """What is known of a dense model's hidden units, for whoever assigns them.

    Attributes:
        importance: ``(L, H)`` float32, see `importance`.
        activations: ``(L, N, H)`` float32, each unit's answer (behind the GELU) to N bytes of text.
        weights: ``(L, H, 2 d)`` float32, what leads into a unit and what leads out of it.
    """

    importance: np.ndarray
    activations: np.ndarray
    weights: np.ndarray


def examine(dense: Transformer, batches: Iterable[Tensor], samples: int = 512) -> Examined:
    """Looks at a dense model on some text.

    Args:
        dense: The model.
        batches: Each ``(B, S + 1)`` integers.
        samples: Of the bytes of the first batch, evenly spread, whose activations are kept.
    """
    batches = list(batches)
    networks = [_network(block.mixture) for block in dense.blocks]
    weights = [torch.cat((network.up.weight, network.down.weight.t()), 1).detach() for network in networks]
    return Examined(
        importance(dense, batches).numpy(), _activations(dense, batches[0], samples).numpy(), torch.stack(weights).cpu().numpy()
    )


def importance(dense: Transformer, batches: Iterable[Tensor]) -> Tensor:
    """Estimates to first order what the loss owes to each hidden unit: ``(L, H)``.

    The sum of ``|dL/dw * w|`` over the weights w that lead into a unit and out of it, where L is the mean cross-entropy of all
    batches together: gradients are added up first, so that a unit whose influence cancels out over the text counts for little.

    Source: Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", arXiv 1906.10771, in Dense2MoE's form.
    """
    networks = [_network(block.mixture) for block in dense.blocks]
    weights = [weight for network in networks for weight in (network.up.weight, network.down.weight)]
    loss = torch.stack([cross_entropy(dense, tokens, nowhere).mean() for tokens in batches]).mean()
    products = [(weight * gradient).abs() for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True)]
    return torch.stack([into.sum(1) + out.sum(0) for into, out in zip(products[::2], products[1::2], strict=True)]).detach().cpu()


def convert(dense: Transformer, assignment: np.ndarray, layout: Layout, seed: int) -> Transformer:
    """Makes a mixture of a dense model's hidden units; everything else is copied.

    Args:
        dense: The model; it stays as it is.
        assignment: ``(L, H)`` integers, see `Layout.check`. Units keep their order within an expert.
        layout: Sizes.
        seed: Of the routers' weights.

    Raises:
        ValueError: If the assignment or the model does not fit the layout.
    """
    layout.check(assignment, dense.config.layers)
    student = Transformer(layout.model(dense.config))
    student.initialise(seed)
    student.to(dense.head.weight.device)
    rest = {name: weight for name, weight in dense.state_dict().items() if ".mixture." not in name}
    student.load_state_dict(rest, strict=False)
    with torch.no_grad():
        for row, old, new in zip(assignment, dense.blocks, student.blocks, strict=True):
            _fill(new.mixture, _network(old.mixture), row, layout)
    return student


class Chosen:
    """The route of a converted model: the k likeliest experts, with weights that sum to k; keeps what it saw, by layer."""

    def __init__(self, active: int) -> None:
        """Begins a pass.

        Args:
            active: Experts per token (k).
        """
        self._active = active
        self.probabilities: list[Tensor] = []
        self.masks: list[Tensor] = []

    def __call__(self, layer: int, logits: Tensor) -> Routed:
        probabilities = logits.softmax(-1)
        mask = top_k(probabilities.detach(), self._active)
        chosen = probabilities * mask
        self.probabilities.append(probabilities)
        self.masks.append(mask)
        return Routed(self._active * chosen / chosen.sum(-1, keepdim=True), mask)


def shared_only(layer: int, logits: Tensor) -> Routed:  # noqa: ARG001 - as `Route` asks
    """The route of a model whose normal experts are left out."""
    return Routed(torch.zeros_like(logits), torch.zeros_like(logits, dtype=torch.bool))


def all_experts(layer: int, logits: Tensor) -> Routed:  # noqa: ARG001 - as `Route` asks
    """The route by which a converted model answers as the dense one does: every expert, at weight 1."""
    return Routed(torch.ones_like(logits), torch.ones_like(logits, dtype=torch.bool))


def _fill(mixture: Mixture, network: Dense, row: np.ndarray, layout: Layout) -> None:
    """Copies each expert's hidden units from a dense network."""
    units = torch.from_numpy(np.argsort(row, kind="stable")).to(network.up.weight.device)
    shared, *experts = units.split(layout.sizes)
    assert mixture.shared is not None
    mixture.shared.up.weight.copy_(network.up.weight[shared])
    mixture.shared.down.weight.copy_(network.down.weight[:, shared])
    for expert, its in enumerate(experts):
        mixture.experts.w_in[expert].copy_(network.up.weight[its].t())
        mixture.experts.w_out[expert].copy_(network.down.weight[:, its].t())


@torch.no_grad()
def _activations(dense: Transformer, tokens: Tensor, samples: int) -> Tensor:
    kept: list[Tensor] = []
    handles = [
        _network(block.mixture).down.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].flatten(0, 1)))
        for block in dense.blocks
    ]
    dense(tokens[:, :-1], nowhere)
    for handle in handles:
        handle.remove()
    chosen = torch.linspace(0, len(kept[0]) - 1, min(samples, len(kept[0]))).long()
    return torch.stack([some[chosen] for some in kept]).float().cpu()


def _network(mixture: Dense | Mixture | torch.nn.Module) -> Dense:
    """A block's feed-forward network.

    Raises:
        ValueError: If the block is a mixture.
    """
    if not isinstance(mixture, Dense):
        raise ValueError("the model is a mixture already; expected a dense one (see `dense.train_dense`)")
    return mixture
