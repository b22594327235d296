"""Clusters that experts are placed on: how many GPUs, how fast their links and memories are, how large an expert is.

The presets in `CLUSTERS` say for each number where it comes from. Numbers that nobody published are marked as assumptions; a
policy's rank hardly depends on them, the seconds do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType

from evolve.errors import ConfigError

_COUNTS = ("nodes", "gpus", "slots", "hidden")
_POSITIVE = (
    *("nvlink_bytes_s", "network_bytes_s", "flops", "memory_bytes_s"),
    *("expert_bytes", "dispatch_bytes", "combine_bytes", "flops_per_token"),
)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Machines, links, and the model's experts that they serve.

    Slot r lies on GPU ``r // slots_per_gpu``, GPU g on node ``g // gpus_per_node``. Links are full duplex, and numbers are of one
    direction.

    Attributes:
        nodes: N, a divisor of ``gpus``.
        gpus: D, of all nodes together, a divisor of ``slots``.
        slots: R, places for an expert in each layer, of all GPUs together.
        nvlink_bytes_s: What a GPU can receive from GPUs of its node.
        network_bytes_s: What a GPU's network card can receive from other nodes.
        latency_s: Time that dispatch and combine each take, however little is sent.
        flops: Floating-point operations per second of a GPU.
        memory_bytes_s: What a GPU can read from its memory.
        expert_bytes: Weights of one expert in one layer.
        hidden: Elements of a token that travels.
        dispatch_bytes: Bytes of an element on its way to an expert.
        combine_bytes: Bytes of an element on its way back.
        flops_per_token: Operations of an expert for a token.
        overlap: Share of the shorter of computation and communication that hides behind the longer: 0 for none, 1 for all.

    Raises:
        ConfigError: If a number is out of range, or a count no multiple of the one that it is divided by.
    """

    nodes: int
    gpus: int
    slots: int
    nvlink_bytes_s: float
    network_bytes_s: float
    latency_s: float
    flops: float
    memory_bytes_s: float
    expert_bytes: float
    hidden: int
    dispatch_bytes: float
    combine_bytes: float
    flops_per_token: float
    overlap: float = 0.0

    def __post_init__(self) -> None:
        for name in _COUNTS:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"a cluster's {name} must be an integer of at least 1, got {value!r}")
        for name in _POSITIVE:
            _check_range(name, getattr(self, name), math.ulp(0.0), math.inf)
        _check_range("latency_s", self.latency_s, 0.0, math.inf)
        _check_range("overlap", self.overlap, 0.0, 1.0)
        if self.gpus % self.nodes:
            raise ConfigError(f"{self.gpus} GPUs cannot be divided evenly among {self.nodes} nodes: change gpus or nodes")
        if self.slots % self.gpus:
            raise ConfigError(f"{self.slots} slots cannot be divided evenly among {self.gpus} GPUs: change slots or gpus")

    @property
    def slots_per_gpu(self) -> int:
        """Slots of each GPU."""
        return self.slots // self.gpus

    @property
    def gpus_per_node(self) -> int:
        """GPUs of each node."""
        return self.gpus // self.nodes

    @property
    def slots_per_node(self) -> int:
        """Slots of each node."""
        return self.slots // self.nodes


def _check_range(name: str, value: object, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and least <= value <= most):
        wanted = "positive" if least > 0 else "at least 0" if most == math.inf else f"in [{least:g}, {most:g}]"
        raise ConfigError(f"a cluster's {name} must be a finite number, {wanted}; got {value!r}")


def check_fits(cluster: Cluster, experts: int, groups: int = 1) -> None:
    """Checks that a model's experts have room on a cluster.

    Args:
        cluster: Where they are to lie.
        experts: E.
        groups: G, groups of experts that a router chooses among.

    Raises:
        ConfigError: If there are fewer slots than experts, or if the groups do not divide the experts.
    """
    if experts < 1 or cluster.slots < experts:
        raise ConfigError(
            f"a cluster with {cluster.slots} slots cannot hold {experts} experts: each needs at least one; "
            f"give it at least {experts} slots, in a multiple of its {cluster.gpus} GPUs"
        )
    if groups < 1 or experts % groups:
        raise ConfigError(f"{experts} experts cannot be divided into {groups} equal groups: change groups to a divisor")


def facts(cluster: Cluster, experts: int, groups: int = 1) -> dict[str, int | float]:
    """What programs are told of a cluster: its attributes by name, with ``experts`` and ``groups``.

    Raises:
        ConfigError: See `check_fits`.
    """
    check_fits(cluster, experts, groups)
    return {**asdict(cluster), "experts": experts, "groups": groups}


def expert_weights(hidden: int, intermediate: int) -> int:
    """Weights of an expert with a gate: three matrices of ``hidden`` by ``intermediate``."""
    return 3 * hidden * intermediate


#: DeepSeek-V3 (arXiv 2412.19437, 4.2): tokens of 7168 elements, experts with 2048 hidden units.
_V3 = expert_weights(7168, 2048)
#: Qwen3-30B-A3B (its published configuration): tokens of 2048 elements, 128 experts with 768 hidden units.
_QWEN3 = expert_weights(2048, 768)

#: Assumed: nobody publishes what a kernel for dispatch or combine takes when there is nothing to send.
_LATENCY_S = 10e-6

#: Assumed: the share of a data sheet's operations per second that the products of small groups of tokens reach.
_REACHED = 0.4

_H800 = Cluster(
    nodes=4,
    gpus=32,
    slots=288,
    nvlink_bytes_s=160e9,  # DeepSeek-V3, 3.2.2, as are the network's 50 GB/s for each GPU
    network_bytes_s=50e9,
    latency_s=_LATENCY_S,
    flops=_REACHED * 1.979e15,  # NVIDIA's data sheet of the H100 SXM, FP8 without sparsity, which the H800 shares
    memory_bytes_s=3.35e12,  # the same data sheet
    expert_bytes=_V3,  # FP8; the scales, a float for 128 x 128 weights, are left out
    hidden=7168,
    dispatch_bytes=1,  # DeepSeek-V3, 3.3.3: FP8 there, BF16 back
    combine_bytes=2,
    flops_per_token=2 * _V3,
)

#: Clusters by name. ``h800`` is the problem that others score EPLB on (ADRS, arXiv 2510.06189): 256 experts in 8 groups on
#: 4 nodes of 8 GPUs with 288 slots. ``h100`` is the same with whole NVLinks. ``a100`` is a small cluster with a thin network.
CLUSTERS: Mapping[str, Cluster] = MappingProxyType(
    {
        "h800": _H800,
        "h100": replace(_H800, nvlink_bytes_s=450e9),  # NVIDIA's data sheet: 900 GB/s, both directions together
        "a100": Cluster(
            nodes=2,  # GRACE-MoE (arXiv 2509.25041): 2 nodes of 4 A100
            gpus=8,
            slots=144,  # assumed: an eighth more than Qwen3-30B-A3B's 128 experts
            nvlink_bytes_s=300e9,  # NVIDIA's data sheet of the A100 SXM: 600 GB/s, both directions together
            network_bytes_s=25e9 / 8 / 4,  # GRACE-MoE's 25 Gb/s; that the 4 GPUs of a node share it is assumed
            latency_s=_LATENCY_S,
            flops=_REACHED * 312e12,  # the same data sheet, BF16 without sparsity
            memory_bytes_s=2.039e12,  # the same, 80 GB version
            expert_bytes=2 * _QWEN3,  # BF16: this GPU has no FP8
            hidden=2048,
            dispatch_bytes=2,
            combine_bytes=2,
            flops_per_token=2 * _QWEN3,
        ),
    }
)
