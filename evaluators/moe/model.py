"""A decoder-only language model over bytes whose feed-forward layers are mixtures of experts.

Small and plain, to be read: pre-norm blocks, rotary positions, no biases, no dropout. What decides which experts a token goes to
is handed in with every pass (`Route`), so the model knows nothing of balancing.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from evolve.evaluators.moe.experts import Experts
from evolve.evaluators.moe.spec import VOCABULARY, ModelConfig

#: Hidden units of a router that is a small network. Source: ModuleFormer (arXiv 2306.04640), its published code.
MLP_HIDDEN = 256


#: Standard deviation of the first embeddings and of what gives a router its logits: tokens begin almost alike and so do experts,
#: as in models of this kind, and without balancing some experts are never found. Source: Radford et al. 2019 (GPT-2).
SMALL = 0.02


class Routed(NamedTuple):
    """Where the tokens of a layer go.

    Attributes:
        weights: ``(T, E)``, what each expert's answer is multiplied by; 0 outside the mask.
        mask: ``(T, E)`` bool.
    """

    weights: Tensor
    mask: Tensor


class Route(Protocol):
    """Decides where tokens go."""

    def __call__(self, layer: int, logits: Tensor) -> Routed:
        """Routes the tokens of one layer.

        Args:
            layer: From 0.
            logits: ``(T, E)`` float32, what the router says of every token.
        """
        ...


class Transformer(nn.Module):
    """The model; `initialise` draws its weights."""

    def __init__(self, config: ModelConfig, router: str = "linear", null_experts: int = 0) -> None:
        """Makes the layers.

        Args:
            config: Sizes. A model of one expert is dense and has no routers.
            router: ``linear``, ``mlp`` or ``cosine``.
            null_experts: Experts behind the true ones that compute nothing and answer 0.
        """
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(VOCABULARY, config.width)
        self.blocks = nn.ModuleList(Block(config, router, null_experts) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, bias=False)
        self.head = nn.Linear(config.width, VOCABULARY, bias=False)
        self.register_buffer("rotation", _rotation(config.length, config.width // config.heads), persistent=False)

    def initialise(self, seed: int) -> None:
        """Draws every weight from a generator of its own, so that models that differ in one part agree in the others."""
        depth = 2 * self.config.layers
        for name, module in self.named_modules():
            generator = torch.Generator().manual_seed(_seed_of(seed, name))
            if isinstance(module, Experts):
                module.initialise(generator, depth)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=_deviation(name, module, depth), generator=generator)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=SMALL, generator=generator)

    def forward(self, tokens: Tensor, route: Route) -> Tensor:
        """Predicts the next byte after each.

        Args:
            tokens: ``(B, S)`` integers below 256.
            route: Is asked once per layer, with the tokens of all sequences in a row.

        Returns:
            ``(B, S, 256)`` logits.
        """
        return self.read(self.outputs(tokens, route)[-1])

    def outputs(self, tokens: Tensor, route: Route) -> list[Tensor]:
        """What leaves each block, ``(B, S, width)``; the arguments are those of `forward`."""
        x, outputs = self.embedding(tokens), []
        for layer, block in enumerate(self.blocks):
            x = block(x, self.rotation, route, layer)
            outputs.append(x)
        return outputs

    def read(self, x: Tensor) -> Tensor:
        """Reads predictions off what leaves the last block: ``(B, S, width)`` to ``(B, S, 256)`` logits."""
        logits: Tensor = self.head(self.norm(x))
        return logits


class Block(nn.Module):
    """Attention, then a mixture of experts, each added to what came in."""

    def __init__(self, config: ModelConfig, router: str, null_experts: int) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(config.width, bias=False)
        self.attention = Attention(config.width, config.heads)
        self.norm_mixture = nn.LayerNorm(config.width, bias=False)
        self.mixture = Dense(config.width, config.expert_width) if config.experts == 1 else Mixture(config, router, null_experts)

    def forward(self, x: Tensor, rotation: Tensor, route: Route, layer: int) -> Tensor:
        x = x + self.attention(self.norm_attention(x), rotation)
        mixed: Tensor = self.mixture(self.norm_mixture(x), route, layer)
        return x + mixed


class Attention(nn.Module):
    """Causal attention of several heads with rotary positions (Su et al., arXiv 2104.09864)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.up = nn.Linear(width, 3 * width, bias=False)
        self.down = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        queries, keys, values = Rotated.apply(self.up(x), rotation[:, : x.shape[1]].to(x.dtype), self.heads)
        heads = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        mixed: Tensor = self.down(heads.transpose(1, 2).reshape(x.shape))
        return mixed


class Rotated(torch.autograd.Function):
    """Parts ``(B, S, 3 x width)`` into queries, keys and values, ``(B, heads, S, head)`` each; the first two turned by position.

    A turn's gradient is a turn the other way, which is one pass over the numbers; differentiated piece by piece it is six.
    """

    @staticmethod
    # Any: torch's context, whose type is private
    def forward(context: Any, mixed: Tensor, rotation: Tensor, heads: int) -> tuple[Tensor, ...]:
        context.rotation, context.shape = rotation, mixed.shape
        parts = _by_head(mixed, heads)
        rotated = mixed.new_empty(parts.shape)
        _turn(parts[:2], rotation[0], rotation[1], rotated[:2])
        rotated[2] = parts[2]
        queries, keys, values = rotated.unbind()
        return queries, keys, values

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # Any: see above
        gradient = gradients[0].new_empty(context.shape)
        parts = _by_head(gradient, gradients[0].shape[1])
        for given, part in zip(gradients[:2], parts, strict=False):
            _turn(given, context.rotation[0], -context.rotation[1], part)
        parts[2] = gradients[2]
        return gradient, None, None


class Mixture(nn.Module):
    """A router, experts, and where the model has it a network that every token goes through."""

    def __init__(self, config: ModelConfig, router: str, null_experts: int) -> None:
        super().__init__()
        shares = (*config.shares, *(0.0,) * null_experts)
        self.router = make_router(router, config.width, len(shares))
        self.experts = Experts(config.width, config.expert_width, shares)
        self.shared = Dense(config.width, config.shared_width) if config.shared_width else None

    def forward(self, x: Tensor, route: Route, layer: int) -> Tensor:
        tokens = x.flatten(0, 1)
        with torch.autocast(x.device.type, enabled=False):  # bfloat16 changes which experts are chosen
            weights, mask = route(layer, self.router(tokens.float()))
        mixed: Tensor = self.experts(tokens, weights, mask).view_as(x)
        return mixed if self.shared is None else mixed + self.shared(x, route, layer)


class Dense(nn.Module):
    """A feed-forward network of two matrices, as one expert is."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, route: Route, layer: int) -> Tensor:
        answer: Tensor = self.down(functional.gelu(self.up(x)))
        return answer


class Cosine(nn.Module):
    """Logits that are cosines of token and expert, times a learned factor that begins at 10."""

    def __init__(self, width: int, experts: int) -> None:
        super().__init__()
        self.directions = nn.Linear(width, experts, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, x: Tensor) -> Tensor:
        cosines = functional.linear(functional.normalize(x, dim=-1), functional.normalize(self.directions.weight, dim=-1))
        return cosines * self.log_scale.exp()


def make_router(kind: str, width: int, experts: int) -> nn.Module:
    """Makes what gives every token its logits.

    Args:
        kind: ``linear``; ``mlp``, with one hidden layer (see `MLP_HIDDEN`); or ``cosine``.
        width: Of the residual stream.
        experts: With those that compute nothing.

    Raises:
        ValueError: If there is no such kind.
    """
    if kind == "linear":
        return nn.Linear(width, experts, bias=False)
    if kind == "mlp":
        return nn.Sequential(nn.Linear(width, MLP_HIDDEN, bias=False), nn.GELU(), nn.Linear(MLP_HIDDEN, experts, bias=False))
    if kind == "cosine":
        return Cosine(width, experts)
    raise ValueError(f"router must be linear, mlp or cosine, got {kind!r}")


def _deviation(name: str, module: nn.Linear, depth: int) -> float:
    """Standard deviation of a matrix's first weights."""
    if ".router" in name and not name.endswith(".0"):
        return SMALL
    return float(module.in_features**-0.5 * (depth**-0.5 if name.endswith("down") else 1.0))


def _rotation(length: int, head: int) -> Tensor:
    """Cosines and sines by which every position turns every number of a head: ``(2, length, head)``."""
    rates = 10_000.0 ** (-torch.arange(0, head, 2) / head)
    angles = torch.arange(length).unsqueeze(1) * rates
    return torch.stack((torch.cat((angles.cos(), angles.cos()), -1), torch.cat((-angles.sin(), angles.sin()), -1)))


def _by_head(mixed: Tensor, heads: int) -> Tensor:
    """Views ``(B, S, 3 x width)`` as ``(3, B, heads, S, head)``."""
    return mixed.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)


def _turn(x: Tensor, cosines: Tensor, sines: Tensor, out: Tensor) -> None:
    """Turns pairs of numbers, of which one lies in the first half of a head and the other at the same place of the second."""
    first, second = x.chunk(2, -1)
    torch.mul(x, cosines, out=out)
    out.addcmul_(torch.cat((second, first), -1), sines)


def _seed_of(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=7).digest(), "big")
