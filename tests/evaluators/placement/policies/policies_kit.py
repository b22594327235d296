"""Policies as the sandbox runs them, problems for them, and DeepSeek's balancer written out slowly."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from hypothesis import strategies as st

from evolve.evaluators.placement.catalog import source


@cache
def place_of(policy: str) -> Callable[..., np.ndarray]:
    return program_of(policy)["place"]


def program_of(*parts: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(source(*parts), "/".join(parts), "exec"), names)
    return names


@dataclass(frozen=True)
class Problem:
    weight: np.ndarray
    nodes: int
    gpus: int
    slots: int
    groups: int

    @property
    def cluster(self):
        return {"nodes": self.nodes, "gpus": self.gpus, "slots": self.slots, "groups": self.groups, "experts": self.experts}

    @property
    def experts(self):
        return self.weight.shape[1]


def problem(rows, nodes=1, gpus=1, slots=None, groups=1):
    weight = np.array(rows, dtype=np.float64)
    weight.setflags(write=False)
    return Problem(weight, nodes, gpus, slots or weight.shape[1], groups)


@st.composite
def problems(draw, max_layers=3, max_nodes=3, max_gpus=4, groups_divide=False):
    nodes = draw(st.integers(1, max_nodes))
    gpus = nodes * draw(st.integers(1, max(1, max_gpus // nodes)))
    groups = nodes * draw(st.integers(1, 3)) if groups_divide or draw(st.booleans()) else draw(st.integers(1, 5))
    experts = groups * draw(st.integers(1, 4))
    slots = gpus * (-(-experts // gpus) + draw(st.integers(0, 3)))
    # Small numbers make ties; thirds and sums of them make what is nearly one.
    loads = draw(st.sampled_from((st.just(0), st.integers(0, 4), st.integers(0, 300), st.floats(0, 1e6, width=32))))
    rows = draw(st.lists(st.lists(loads, min_size=experts, max_size=experts), min_size=1, max_size=max_layers))
    return problem(rows, nodes, gpus, slots, groups)


def counts(slots, experts):
    return np.stack([np.bincount(row, minlength=experts) for row in slots])


def gpu_loads(one, slots):
    """Load of each GPU, (L, D), with every expert's load split evenly over its replicas."""
    share = np.take_along_axis(one.weight / counts(slots, one.experts), slots, axis=1)
    return share.reshape(len(slots), one.gpus, -1).sum(axis=2)


def slow_pack(loads, packs):
    """The items of each pack in the order in which they came."""
    room = len(loads) // packs
    if room == 1:
        return [[item] for item in range(len(loads))]
    contents = [[] for _ in range(packs)]
    totals = [loads[0] * 0] * packs
    for item in sorted(range(len(loads)), key=lambda item: -loads[item]):
        lightest = min((pack for pack in range(packs) if len(contents[pack]) < room), key=lambda pack: totals[pack])
        contents[lightest].append(item)
        totals[lightest] += loads[item]
    return contents


def slow_replicate(loads, slots):
    """The expert of each replica and the number of replicas of each expert."""
    held, copies = list(range(len(loads))), [1] * len(loads)
    while len(held) < slots:
        shares = [load / type(load)(count) for load, count in zip(loads, copies, strict=True)]
        busiest = shares.index(max(shares))
        held.append(busiest)
        copies[busiest] += 1
    return held, copies


def slow_balance(loads, slots, nodes, gpus, groups):
    """DeepSeek's balancer for one layer, in the precision of ``loads``; global where groups do not divide over nodes."""
    if groups % nodes:
        nodes = groups = 1
    size = len(loads) // groups
    group_loads = [sum(loads[group * size : (group + 1) * size], loads[0] * 0) for group in range(groups)]
    answer = []
    for of_node in slow_pack(group_loads, nodes):
        there = [group * size + number for group in of_node for number in range(size)]
        inside = [loads[expert] for expert in there]
        held, copies = slow_replicate(inside, slots // nodes)
        shares = [inside[expert] / type(inside[expert])(copies[expert]) for expert in held]
        for pack in slow_pack(shares, gpus // nodes):
            answer += [there[held[replica]] for replica in pack]
    return answer
