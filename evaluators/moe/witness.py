"""Asks a second process what the first has said of a whole step: hooks are functions of what they are given.

A program may keep what it likes in its process, from step to step and from text that it has routed. That it gives the same numbers
twice does not say that it keeps nothing, as it may begin anew with every training. A process that has not been asked
in between answers otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from evolve.evaluators.base import Invalid
from evolve.evaluators.moe.balancer import Balancer, Schedule
from evolve.evaluators.moe.observed import Observed
from evolve.evaluators.moe.spec import TrainingConfig

#: The same program with the same numbers gives the same; two processes may lay numbers out otherwise and round otherwise.
_RELATIVE, _ABSOLUTE = 1e-4, 1e-7


def check_schedule(second: Balancer, schedule: Schedule, step: int, config: TrainingConfig) -> None:
    """Asks for the schedule of a step again.

    Args:
        second: The state, with the hooks of the second process; likewise below.
        schedule: What the first process wants.
        step: That it is for.
        config: Of the training.

    Raises:
        Invalid: If the second wants something else; likewise below.
        ProgramFailed: If it fails; likewise below.
    """
    if second.schedule(step, config.steps, config.coefficient) != schedule:
        _refuse("schedule", step)


def check_loss(second: Balancer, observed: Observed, balance: Tensor | None) -> None:
    """Asks for the loss again, and for its gradients.

    Args:
        second: See above.
        observed: The step, with its graph.
        balance: What the first process says; None where there is no such hook.
    """
    again = second.loss(observed.inputs("loss"))
    if balance is None or again is None:
        return
    values = [(balance.detach(), again.detach())]
    if balance.requires_grad and again.requires_grad:
        # Up to what the hook was given, and no further: what lies behind, a hook may take gradients back through once.
        targets = observed.differentiated
        found = [torch.autograd.grad(one, targets, retain_graph=True, allow_unused=True) for one in (balance, again)]
        values += [(one, other) for one, other in zip(*found, strict=True) if one is not None and other is not None]
    _compare("loss", values, int(observed.step))


def check_update(second: Balancer, observed: Observed, first: Balancer) -> None:
    """Asks for the new state again.

    Args:
        second: With the state as it was before.
        observed: The step.
        first: With the state as the first process has changed it.
    """
    second.update(observed.inputs("update"))
    _compare("update", [(first.bias, second.bias), (first.memory, second.memory)], int(observed.step))


def _compare(hook: str, pairs: Sequence[tuple[Tensor, Tensor]], step: int) -> None:
    if not all(torch.allclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE) for one, other in pairs):
        _refuse(hook, step)


def _refuse(hook: str, step: int) -> None:
    raise Invalid(
        f"{hook} said something else in step {step} when it was asked again, with the same inputs, in a process that has not seen "
        "the steps before: hooks may keep nothing between calls but what they return as bias and memory, and draw no numbers"
    )
