"""Scores that others give an expert-parallelism load balancer, to the letter, for comparison with published numbers.

Times are in seconds. Those of others are wall time on their machine, so that scores of different machines do not compare; `speed`
is relative to a reference that runs on the same one.
"""

from __future__ import annotations

import math


def adrs_leaderboard(gpu_balancedness: float, seconds: float) -> float:
    """Score of the ADRS leaderboard, at most 100.

    Args:
        gpu_balancedness: Of GPUs, mean over windows.
        seconds: Of planning alone, mean over windows.

    Raises:
        ValueError: If ``seconds`` is not positive and finite.
    """
    _check(seconds=seconds)
    slow = min(20 * seconds, 20.0) if seconds > 0.010 else 0.0
    return 90 * gpu_balancedness + 5 * min(0.002 / seconds, 2.0) - slow


def openevolve(balancedness: float, seconds: float) -> float:
    """Score of OpenEvolve's example.

    Args:
        balancedness: Of slots: its scorer takes the mean and the largest over physical experts.
        seconds: Of planning and of its scorer's own simulation, mean over windows.

    Raises:
        ValueError: If ``seconds`` is not positive and finite.
    """
    _check(seconds=seconds)
    return (balancedness + 0.02 / seconds) / 2


def skydiscover(expert_balancedness: float, seconds: float) -> float:
    """Score of SkyDiscover's benchmark.

    Args:
        expert_balancedness: Of slots, mean over windows.
        seconds: Of planning and of its scorer's own checks and simulation, mean over windows.

    Raises:
        ValueError: If ``seconds`` is not positive and finite.
    """
    _check(seconds=seconds)
    return (expert_balancedness + 0.002 / seconds) / 2


def speed(seconds: float, reference_s: float) -> float:
    """How fast a plan is made, in (0, 1]: 1 from the reference's time on down, then its time divided by the plan's.

    Raises:
        ValueError: If a time is not positive and finite.
    """
    _check(seconds=seconds, reference_s=reference_s)
    return min(1.0, reference_s / seconds)


def _check(**times: float) -> None:
    for name, value in times.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be positive and finite, got {value}")
