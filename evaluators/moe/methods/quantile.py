"""Balancing without a loss or a rate: each expert's threshold is the quantile of its scores that gives it its share.

    cutoff_t    = the (k+1)-th largest of the scores of token t minus the thresholds
    threshold_i = the (1 - k / E)-quantile over tokens of the scores of expert i minus the cutoffs
    select the k largest of score - threshold

The two lines are one round of minimising, in turns, the dual of the assignment problem of ``alf_const``. Each training
step makes one round, beginning with the thresholds that it selected by; those of this step select in the next.

Source: Su 2026, MoE World Tour, parts 6 and 7 (Quantile Balancing; kexue.fm/archives/11619 and 11626), read in
translation and in notes.

Defaults: there are none, and nothing to tune.

Deviations: scores are a softmax, the trainer's default; the method takes any. The form with a variable number of
experts per token (part 7) is not this one.

Edge cases: needs k < E, and scores that differ between tokens: of equal ones no threshold takes a part. Thresholds are
defined up to a constant, which stays as it is. Small batches make them noisy, since nothing is averaged over steps.
``Tensor.quantile`` takes at most 16 million scores per layer.
"""

import torch
from torch import Tensor

TUNABLE: dict[str, tuple[float, float]] = {}


def update(scores: Tensor, k: Tensor, bias: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Computes the bias (L, E), thresholds with the sign changed, from scores (L, T, E) and the bias that selected."""
    layers = zip(scores, bias, k, strict=True)
    return torch.stack([-_thresholds(of_layer, -old, int(active)) for of_layer, old, active in layers]), memory


def _thresholds(scores: Tensor, thresholds: Tensor, k: int) -> Tensor:
    """Makes one round: from thresholds (E) to cutoffs of the tokens and back, for scores (T, E)."""
    cutoffs = (scores - thresholds).topk(k + 1, -1).values[:, -1:]
    return (scores - cutoffs).quantile(1 - k / scores.shape[-1], dim=0)
