"""Sends tokens to their experts and brings the answers back.

Tokens are laid in rows sorted by expert, so that each expert sees one matrix. No token is dropped and no row is padded: on a
processor, experts are multiplied one after the other (`Grouped`); on an accelerator, in one padded batch (`padded`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Plan = tuple[Tensor, list[int], list[int]]
"""A number for each row, how many rows each expert has, and the hidden units of each expert."""


class Experts(nn.Module):
    """The experts of one layer: two matrices each, with a GELU between."""

    def __init__(self, width: int, hidden: int, shares: Sequence[float]) -> None:
        """Makes the weights, for a generator to fill.

        Args:
            width: Of the residual stream.
            hidden: Units of a full expert.
            shares: Relative width of each expert; one of 0 has no weights and answers 0.
        """
        super().__init__()
        self.hidden = [round(share * hidden) for share in shares]
        real = [units for units in self.hidden if units]
        self.w_in = nn.Parameter(torch.empty(len(real), width, max(real, default=1)))
        self.w_out = nn.Parameter(torch.empty(len(real), max(real, default=1), width))

    def initialise(self, generator: torch.Generator, depth: int) -> None:
        """Draws the weights; what leads to the residual stream is smaller, the more layers add to it."""
        with torch.no_grad():
            for expert, units in enumerate(self._units):
                self.w_in[expert].normal_(std=self.w_in.shape[1] ** -0.5, generator=generator)
                self.w_out[expert].normal_(std=(units * 2 * depth) ** -0.5, generator=generator)

    @property
    def _units(self) -> list[int]:
        return [units for units in self.hidden if units]

    def forward(self, x: Tensor, weights: Tensor, mask: Tensor) -> Tensor:
        """Mixes what experts say of their tokens.

        Args:
            x: ``(T, width)``.
            weights: ``(T, E)``, what the answer of each expert is multiplied by.
            mask: ``(T, E)`` bool, which experts a token goes to; experts without computation may be among them.

        Returns:
            ``(T, width)``; 0 for tokens that go to no expert that computes.
        """
        real = self._real(mask)
        expert, token = mask[:, real].t().nonzero().unbind(1)
        sizes = torch.bincount(expert, minlength=len(self._units)).tolist()
        chosen = weights[:, real][token, expert]
        if x.device.type == "cpu":
            mixture: Tensor = Grouped.apply(x, chosen, self.w_in, self.w_out, (token, sizes, self._units))
            return mixture
        answers = padded(x[token], self.w_in, self.w_out, (expert, sizes, self._units))
        return torch.zeros_like(x).index_add(0, token, (answers * chosen.unsqueeze(1)).to(x.dtype))

    def _real(self, mask: Tensor) -> slice | Tensor:
        """The columns of experts that compute."""
        if all(self.hidden):
            return slice(None)
        return torch.tensor([column for column, units in enumerate(self.hidden) if units], device=mask.device)


class Grouped(torch.autograd.Function):
    """Gathers rows, multiplies them by both matrices of their experts, adds them up: nothing is computed for nobody."""

    @staticmethod
    # Any: torch's context, whose type is private
    def forward(context: Any, x: Tensor, weights: Tensor, *others: Any) -> Tensor:
        w_in, w_out, plan = others
        token, sizes, units = plan
        rows = x.index_select(0, token)
        # Columns that a narrow expert lacks are never written, and never read.
        hidden, answers = rows.new_empty(rows.shape[0], w_in.shape[2]), torch.empty_like(rows)
        parts = rows.split(sizes), _narrowed(hidden.split(sizes), units), _narrowed(w_in.unbind(), units)
        for x_e, hidden_e, in_e in zip(*parts, strict=True):
            torch.mm(x_e, in_e, out=hidden_e)
        active = functional.gelu(hidden)
        parts = _narrowed(active.split(sizes), units), _shortened(w_out.unbind(), units), answers.split(sizes)
        for active_e, out_e, answers_e in zip(*parts, strict=True):
            torch.mm(active_e, out_e, out=answers_e)
        context.save_for_backward(rows, weights, w_in, w_out, hidden, active, answers)
        context.plan = plan
        return torch.zeros_like(x).index_add_(0, token, answers * weights.unsqueeze(1))

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # Any: see above
        rows, weights, w_in, w_out, hidden, active, answers = context.saved_tensors
        token, sizes, units = context.plan
        d_answers = gradient.index_select(0, token)
        d_weights = (d_answers * answers).sum(1)
        d_answers *= weights.unsqueeze(1)
        d_active, d_in, d_out = torch.empty_like(hidden), torch.zeros_like(w_in), torch.zeros_like(w_out)
        parts = (
            d_answers.split(sizes),
            _shortened(active.t().split(sizes, 1), units),
            _narrowed(w_out.transpose(1, 2).unbind(), units),
            _narrowed(d_active.split(sizes), units),
            _shortened(d_out.unbind(), units),
        )
        for d_answers_e, active_t, out_t, d_active_e, d_out_e in zip(*parts, strict=True):
            torch.mm(d_answers_e, out_t, out=d_active_e)
            torch.mm(active_t, d_answers_e, out=d_out_e)
        d_hidden = torch.ops.aten.gelu_backward(d_active, hidden)
        d_rows = torch.empty_like(rows)
        parts = (
            rows.t().split(sizes, 1),
            _narrowed(d_hidden.split(sizes), units),
            _shortened(w_in.transpose(1, 2).unbind(), units),
            d_rows.split(sizes),
            _narrowed(d_in.unbind(), units),
        )
        for x_t, d_hidden_e, in_t, d_x_e, d_in_e in zip(*parts, strict=True):
            torch.mm(d_hidden_e, in_t, out=d_x_e)
            torch.mm(x_t, d_hidden_e, out=d_in_e)
        return torch.zeros_like(gradient).index_add_(0, token, d_rows), d_weights, d_in, d_out, None


def padded(rows: Tensor, w_in: Tensor, w_out: Tensor, plan: Plan) -> Tensor:
    """Multiplies rows in two batched products, with as many for each expert as the busiest has: one launch for all experts.

    Args:
        rows: ``(N, width)``, sorted by expert.
        w_in: ``(E, width, hidden)``.
        w_out: ``(E, hidden, width)``.
        plan: The expert of each row, how many rows each has, and the hidden units of each.

    Returns:
        ``(N, width)``.
    """
    expert, sizes, units = plan
    starts = torch.tensor([0, *sizes[:-1]], device=rows.device).cumsum(0)
    place = torch.arange(rows.shape[0], device=rows.device) - starts[expert]
    batch = rows.new_zeros(len(sizes), max(sizes), rows.shape[1]).index_put((expert, place), rows)
    used = torch.arange(w_in.shape[2], device=rows.device) < torch.tensor(units, device=rows.device).unsqueeze(1)
    hidden = functional.gelu(torch.bmm(batch, w_in)) * used.unsqueeze(1)
    return torch.bmm(hidden, w_out)[expert, place]


def _narrowed(matrices: Sequence[Tensor], units: list[int]) -> list[Tensor]:
    """The columns that each expert has of a matrix as wide as the widest one's."""
    return [matrix[:, :count] if count < matrix.shape[1] else matrix for matrix, count in zip(matrices, units, strict=True)]


def _shortened(matrices: Sequence[Tensor], units: list[int]) -> list[Tensor]:
    """The rows that each expert has of a matrix as long as the widest one's."""
    return [matrix[:count] if count < matrix.shape[0] else matrix for matrix, count in zip(matrices, units, strict=True)]
