"""ShiftAddViT's latency-aware loss: slow experts shall get fewer tokens, so that all finish together.

Experts of unequal cost are weighted by their share of the latency. Two measures of use are evened out by their squared
coefficient of variation: the probability that an expert gets (importance), and the chance that it is among a token's k best
when the logits are shaken (load), a smooth count that has a gradient where the true one has none::

    importance_i = a_i mean_t softmax(z_t)_i       load_i = a_i mean_t Pr[i in top-k of z_t + N(0, s^2)]        s = 1/E
    L = SCV(importance) + SCV(load)                SCV(x) = Var(x) / (Mean(x)^2 + 1e-10)

Both vanish when tokens are proportional to 1/latency. Training routes by the shaken logits, evaluation by the plain ones.

Source: You et al. 2023, "ShiftAddViT: Mixture of Multiplication Primitives Towards Efficient Vision Transformer", arXiv
2306.06446, section on the latency-aware loss; the smooth count: Shazeer et al. 2017, arXiv 1701.06538, appendix A.

Defaults: s = 1/E (published code), weight 0.01 (recalled).
Deviations: a latency per expert, its relative width, instead of the two that the published code fixes (6 and 4, for
multiplication and shift). What an expert has to exceed is read off the plain logits, since the loss does not see the shaken
ones. The published code compares logits with shaken probabilities there, two scales; here both are logits, as in Shazeer et
al.
Edge cases: needs k < E and E > 1. With equal widths this is Shazeer's pair of losses. A null expert has no latency, and the
loss cannot vanish. Weights of more than one expert are divided by their sum, the trainer's default; the paper has k = 1.
Not verified: the paper's weight.
"""

import torch

COEFFICIENT = 0.01  # recalled
TUNABLE = {"COEFFICIENT": (1e-3, 1e-1)}


def schedule(experts: int) -> dict[str, float]:
    """Sets the spread of the noise and the weight of the loss."""
    return {"noise": 1 / experts, "coefficient": COEFFICIENT}


def score(logits: torch.Tensor, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Shakes the logits ``(T, E)``; the noise is zero in evaluation."""
    gates = (logits + noise).softmax(-1)
    return gates.detach(), gates


def loss(logits: torch.Tensor, widths: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Evens out latency; ``logits`` are ``(L, T, E)``, ``widths`` is ``(E)``, ``k`` is ``(L)``."""
    latency = widths / widths.sum()
    importance = latency * logits.softmax(-1).mean(1)
    load = latency * chance_of_top_k(logits, k).mean(1)
    return (variation(importance) + variation(load)).mean()


def chance_of_top_k(logits: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Returns the chance ``(L, T, E)`` of each expert to be among the k largest when its own logit is shaken."""
    largest = logits.sort(-1, descending=True).values
    position = k.view(-1, 1, 1).expand(-1, logits.shape[1], 1)
    last_in, first_out = largest.gather(-1, position - 1), largest.gather(-1, position)
    # An expert competes with the others only: one that is in has to stay above the first that is out.
    rival = torch.where(logits > first_out, first_out, last_in)
    return torch.special.ndtr((logits - rival) * logits.shape[-1])


def variation(x: torch.Tensor) -> torch.Tensor:
    """Returns the squared coefficient of variation ``(L)`` over the experts ``(L, E)``."""
    return x.var(-1) / (x.mean(-1).square() + 1e-10)
