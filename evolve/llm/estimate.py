"""Says before a run what it may cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolve.llm.base import Usage
from evolve.llm.prices import FREE, Price

#: Calls below which a budget tells nothing of a search: no arm, island or prompt is tried more than a few times.
_FEW_CALLS = 10
#: A call reserves one token for each byte of its prompt, and some to frame its messages: 3.6 bytes make a typical token.
_WORST_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class ArmForecast:
    """What is known of an arm before it is pulled.

    Attributes:
        name: What it is called.
        price: `FREE` for an arm that asks no model; None where it is not known.
        share: Of the pulls, in proportion to the shares of the other arms.
        max_tokens: Of one answer.
        call_usd: The most dollars that one call may cost, where somebody says so: without a price it is the typical cost too.
    """

    name: str
    price: Price | None
    share: float = 1.0
    max_tokens: int = 8192
    call_usd: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.share < float("inf"):
            raise ValueError(f"arm {self.name}: share must be finite and >= 0, got {self.share}")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run may cost.

    Attributes:
        low: Dollars if the cheapest arm made every call.
        typical: Dollars if the arms are pulled by their shares.
        worst: Dollars if the dearest arm made every call, every attempt was needed, and every answer was of full length.
        calls: Calls in the typical case: of arms that ask a model.
        typical_call: Dollars of one call of an arm that asks a model, by their shares; 0 without such arms.
        worst_call: The most dollars that one call is reserved.
        unknown: Arms whose price is not known, which count as free.
        embeddings: Dollars of them that embeddings cost.
        judge: Dollars of the typical cost that a judge takes if it is asked about every child, which it is not.
    """

    low: float
    typical: float
    worst: float
    calls: float
    typical_call: float
    worst_call: float
    unknown: tuple[str, ...] = ()
    embeddings: float = 0.0
    judge: float = 0.0


def estimate(arms: Sequence[ArmForecast], steps: int, *, prompt_tokens: int, answer_tokens: int, attempts: int = 1) -> Estimate:
    """Estimates what a run may cost.

    Failed calls that are charged are not foreseen; a budget of dollars counts them.

    Args:
        arms: At least one with a share.
        steps: Steps of the run.
        prompt_tokens: Of a typical prompt (see `evolve.llm.prices.typical_tokens`).
        answer_tokens: Of a typical answer, reasoning included; no answer is longer than its arm's ``max_tokens``.
        attempts: The most calls that a step makes when its children are turned down.

    Raises:
        ValueError: If no arm has a share, or a number is negative.
    """
    total = sum(arm.share for arm in arms)
    if not total > 0:
        raise ValueError(f"at least one arm needs a share above 0, got {[(arm.name, arm.share) for arm in arms]}")
    for name, number in (("steps", steps), ("prompt_tokens", prompt_tokens), ("answer_tokens", answer_tokens)):
        if number < 0:
            raise ValueError(f"{name} must be >= 0, got {number}")
    shares = [arm.share / total for arm in arms]
    typical = [_typical(arm, prompt_tokens, answer_tokens) for arm in arms]
    asked = sum(share for share, arm in zip(shares, arms, strict=True) if arm.price != FREE)
    mean = sum(share * usd for share, usd in zip(shares, typical, strict=True))
    worst_call = max(_worst(arm, prompt_tokens) for arm in arms)
    return Estimate(
        low=steps * min(usd for usd, share in zip(typical, shares, strict=True) if share > 0),
        typical=steps * mean,
        worst=steps * attempts * worst_call,
        calls=steps * asked,
        typical_call=mean / asked if asked else 0.0,
        worst_call=worst_call,
        unknown=tuple(arm.name for arm in arms if arm.price is None and arm.call_usd is None),
    )


def _typical(arm: ArmForecast, prompt_tokens: int, answer_tokens: int) -> float:
    """Returns the dollars of a typical call, nothing of it cached."""
    if arm.price is None:
        return arm.call_usd or 0.0
    return arm.price.cost(Usage(input=prompt_tokens, output=min(answer_tokens, arm.max_tokens)))


def _worst(arm: ArmForecast, prompt_tokens: int) -> float:
    """Returns the dollars that one call is reserved, at most."""
    if arm.price == FREE:
        return 0.0
    return arm.call_usd or (arm.price or FREE).most(prompt_tokens * _WORST_PER_TOKEN, arm.max_tokens)


def warning(estimate: Estimate, budget_usd: float) -> str | None:
    """Says why a budget is too small to mean anything; None when it is not.

    Args:
        estimate: Of the run.
        budget_usd: Dollars that it may spend.
    """
    if estimate.worst_call > budget_usd:
        return (
            f"a budget of ${budget_usd:.4g} does not cover one call, for which up to ${estimate.worst_call:.4g} is reserved: no "
            "model will be asked; allow more dollars, or set a lower max_tokens or call_usd"
        )
    if estimate.typical_call * _FEW_CALLS > budget_usd:
        calls = int(budget_usd / estimate.typical_call)
        return (
            f"a budget of ${budget_usd:.4g} pays for about {calls} typical call{'s' if calls != 1 else ''} of "
            f"${estimate.typical_call:.4g}: too few to tell anything of a search; allow more dollars, or take a cheaper model"
        )
    return None
