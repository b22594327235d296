"""Proves that an answer is a placement, and derives from it what lies where.

A placement is an int64 array ``slots`` ``(L, R)``: the expert in each slot of each layer, EPLB's ``phy2log``. A share ``(L, R)`` is
the part of its expert's tokens that each slot gets.

Nothing that a program says about its own placement is counted: replicas, loads and traffic all follow from ``slots`` alone. The
published scorers believed ``log2phy``, where a slot that is listed twice makes half of the load vanish, and ``logcnt``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evolve.evaluators.base import Invalid
from evolve.evaluators.placement.cluster import Cluster

#: How far the shares of an expert may add up to something else than 1. They are scaled to 1 afterwards, so that nothing can be
#: harvested; float32 leaves 1e-7.
SHARE_TOLERANCE = 1e-5


class Maps(NamedTuple):
    """EPLB's answer as a program handed it over, unchecked."""

    phy2log: object
    log2phy: object
    logcnt: object


def split_maps(answer: object) -> Maps:
    """Takes EPLB's ``(phy2log, log2phy, logcnt)`` apart.

    Raises:
        Invalid: If it is neither a tuple nor a list of three.
    """
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        size = f" of {len(answer)}" if isinstance(answer, tuple | list) else ""
        raise Invalid(f"expected (phy2log, log2phy, logcnt), got {type(answer).__name__}{size}")
    return Maps(*answer)


def check_slots(answer: object, layers: int, slots: int, experts: int, name: str = "slots") -> np.ndarray:
    """Proves that an answer is a placement.

    Args:
        answer: What a program handed over.
        layers: L.
        slots: R.
        experts: E.
        name: What the answer is called in messages.

    Returns:
        ``(L, R)`` int64, a copy: no later write of the program reaches it.

    Raises:
        Invalid: If it is no array of integers, has another shape, names an expert that does not exist, or leaves an expert of a
            layer without a slot.
    """
    array = _integers(answer, name, ("layers", "slots"), (layers, slots))
    _check_range(array, name, 0, experts - 1, axis="slot", wanted=f"an expert, from 0 to {experts - 1}")
    placed = array.astype(np.int64, order="C")
    counts = replicas(placed, experts)
    if not counts.all():
        layer, expert = _first(counts == 0)
        raise Invalid(f"{name}: expert {expert} of layer {layer} lies in no slot; every expert needs at least one in each layer")
    return placed


def check_maps(maps: Maps, layers: int, slots: int, experts: int) -> np.ndarray:
    """Proves that EPLB's three arrays are a placement and agree with each other.

    ``logcnt`` ``(L, E)`` must count the slots of ``phy2log`` ``(L, R)``, and each row of ``log2phy`` ``(L, E, X)`` must list
    exactly the slots of its expert, in any order, and then nothing but -1.

    Returns:
        ``(L, R)`` int64, the placement, from ``phy2log`` alone.

    Raises:
        Invalid: If an array is malformed or contradicts ``phy2log``; the message names layer, expert and value.
    """
    placed = check_slots(maps.phy2log, layers, slots, experts, "phy2log")
    counts = replicas(placed, experts)
    claimed = _integers(maps.logcnt, "logcnt", ("layers", "experts"), (layers, experts))
    if (claimed != counts).any():
        layer, expert = _first(claimed != counts)
        raise Invalid(
            f"logcnt says that expert {expert} of layer {layer} has {claimed[layer, expert]} replicas, "
            f"but phy2log has it in {counts[layer, expert]} slots"
        )
    _check_rows(maps.log2phy, placed, counts)
    return placed


def _check_rows(answer: object, placed: np.ndarray, counts: np.ndarray) -> None:
    rows = _integers(answer, "log2phy", ("layers", "experts", "places"), (*counts.shape, None))
    most = placed.shape[1] - 1
    _check_range(rows, "log2phy", -1, most, axis="place", wanted=f"a slot, from 0 to {most}, or -1 behind the last")
    if rows.shape[2] < counts.max():
        layer, expert = _first(counts > rows.shape[2])
        raise Invalid(
            f"log2phy has {rows.shape[2]} places for each expert, but phy2log has expert {expert} of layer {layer} "
            f"in {counts[layer, expert]} slots"
        )
    listed = np.arange(rows.shape[2]) < counts[..., None]
    if ((rows >= 0) != listed).any():
        layer, expert, place = _first((rows >= 0) != listed)
        raise Invalid(
            f"log2phy of layer {layer}, expert {expert} has {rows[layer, expert, place]} at place {place}; its "
            f"{counts[layer, expert]} slots come first, then only -1"
        )
    _check_listed(rows, listed, placed)


def _check_listed(rows: np.ndarray, listed: np.ndarray, placed: np.ndarray) -> None:
    layer_of, expert_of, place_of = np.nonzero(listed)
    named = rows[listed].astype(np.int64)
    wrong = placed[layer_of, named] != expert_of
    if wrong.any():
        at = int(wrong.argmax())
        raise Invalid(
            f"log2phy of layer {layer_of[at]}, expert {expert_of[at]} names slot {named[at]} at place {place_of[at]}, "
            f"but phy2log has expert {placed[layer_of[at], named[at]]} there"
        )
    # As many places are listed as there are slots: if no slot is listed twice, each is listed once.
    times = np.bincount(layer_of * placed.shape[1] + named, minlength=placed.size).reshape(placed.shape)
    if (times > 1).any():
        layer, slot = _first(times > 1)
        raise Invalid(
            f"log2phy of layer {layer}, expert {placed[layer, slot]} names slot {slot} {times[layer, slot]} times, "
            f"and another of its slots never"
        )


def check_share(answer: object, slots: np.ndarray) -> np.ndarray:
    """Proves that an answer divides the tokens of each expert among its slots.

    Args:
        answer: What a program handed over.
        slots: ``(L, R)``, checked.

    Returns:
        ``(L, R)`` float64, a copy, scaled so that the shares of each expert add up to 1.

    Raises:
        Invalid: If it is no array of floats or integers, has another shape, holds NaN, infinity or a negative number, or if the
            shares of an expert add up to something that is further than `SHARE_TOLERANCE` from 1.
    """
    array = _array(answer, "share", "fiu", "numbers")
    _check_shape(array, "share", ("layers", "slots"), slots.shape)
    with np.errstate(over="ignore"):  # a long double may become infinite, which is refused
        share = array.astype(np.float64, order="C")
    bad = ~(np.isfinite(share) & (share >= 0))
    if bad.any():
        layer, slot = _first(bad)
        raise Invalid(f"share of layer {layer}, slot {slot} is {share[layer, slot]}; expected a finite number of at least 0")
    key, experts = _keys(slots)
    sums = np.bincount(key.ravel(), share.ravel(), len(slots) * experts)
    wrong = np.abs(sums - 1) > SHARE_TOLERANCE
    if wrong.any():
        layer, expert = divmod(int(np.flatnonzero(wrong)[0]), experts)
        raise Invalid(
            f"the shares of expert {expert} of layer {layer} add up to {sums[layer * experts + expert]:.9g}; expected 1, "
            "so that each of its tokens goes somewhere"
        )
    return np.asarray(share / sums[key])


def check_grouped(slots: np.ndarray, cluster: Cluster, experts: int, groups: int) -> None:
    """Proves that all replicas of a group of experts lie on one node, as EPLB's hierarchical policy has it.

    Raises:
        Invalid: If a group lies on several nodes; the message names layer and group.
    """
    spread = nodes_per_group(slots, cluster, experts, groups)
    if (spread > 1).any():
        layer, group = _first(spread > 1)
        raise Invalid(
            f"group {group} of layer {layer} (experts {group * (experts // groups)} to {(group + 1) * (experts // groups) - 1}) "
            f"lies on {spread[layer, group]} nodes; all replicas of a group must lie on one"
        )


def check_conserved(load: np.ndarray, slots: np.ndarray, share: np.ndarray) -> None:
    """Proves that no load vanishes or appears: the slots of each expert have together what the expert has.

    That follows from what `check_slots` and `check_share` prove; this guards the scorer itself.

    Raises:
        Invalid: If they differ by more than rounding.
    """
    layers, experts = load.shape
    placed = slot_load(load, slots, share)
    key = np.arange(layers)[:, None] * experts + slots
    physical = np.bincount(key.ravel(), placed.ravel(), layers * experts).reshape(load.shape)
    wrong = ~np.isclose(physical, load, rtol=1e-9, atol=0)
    if wrong.any():
        layer, expert = _first(wrong)
        raise Invalid(
            f"expert {expert} of layer {layer} has a load of {load[layer, expert]}, "
            f"but its slots have {physical[layer, expert]} together"
        )


def replicas(slots: np.ndarray, experts: int) -> np.ndarray:
    """Counts the slots of each expert.

    Args:
        slots: ``(L, R)``, each in [0, ``experts``).
        experts: E.

    Returns:
        ``(L, E)`` int64.
    """
    key = np.arange(len(slots))[:, None] * experts + slots
    return np.bincount(key.ravel(), minlength=len(slots) * experts).reshape(len(slots), experts)


def uniform_share(slots: np.ndarray, experts: int) -> np.ndarray:
    """The share that gives all replicas of an expert the same.

    Args:
        slots: ``(L, R)``.
        experts: E.

    Returns:
        ``(L, R)`` float64.
    """
    return np.asarray(1.0 / np.take_along_axis(replicas(slots, experts), slots, 1))


def slot_load(load: np.ndarray, slots: np.ndarray, share: np.ndarray) -> np.ndarray:
    """The load of each slot.

    Args:
        load: ``(L, E)``, of each expert.
        slots: ``(L, R)``.
        share: ``(L, R)``.

    Returns:
        ``(L, R)`` float64.
    """
    return np.asarray(np.take_along_axis(load, slots, 1) * share)


def gpu_load(load: np.ndarray, slots: np.ndarray, share: np.ndarray, gpus: int) -> np.ndarray:
    """The load of each GPU; see `slot_load`.

    Returns:
        ``(L, D)`` float64.
    """
    return np.asarray(slot_load(load, slots, share).reshape(len(slots), gpus, -1).sum(-1))


def wasted(slots: np.ndarray, cluster: Cluster) -> np.ndarray:
    """Counts the slots that hold what another slot of their GPU holds too; a GPU gains nothing by them.

    Returns:
        ``(L,)`` int64; three replicas on one GPU count as two.
    """
    on_gpu = np.sort(slots.reshape(len(slots), cluster.gpus, -1), -1)
    return np.asarray((on_gpu[..., 1:] == on_gpu[..., :-1]).sum((1, 2)))


def nodes_per_group(slots: np.ndarray, cluster: Cluster, experts: int, groups: int) -> np.ndarray:
    """On how many nodes replicas of a group of experts lie.

    Args:
        slots: ``(L, R)``.
        cluster: Where they lie.
        experts: E.
        groups: G, a divisor of E.

    Returns:
        ``(L, G)`` int64.
    """
    there = np.zeros((len(slots), groups, cluster.nodes), dtype=bool)
    node = np.arange(slots.shape[1]) // cluster.slots_per_node
    there[np.arange(len(slots))[:, None], slots // (experts // groups), node] = True
    return np.asarray(there.sum(-1))


def _keys(slots: np.ndarray) -> tuple[np.ndarray, int]:
    experts = int(slots.max()) + 1
    return np.arange(len(slots))[:, None] * experts + slots, experts


def _array(answer: object, name: str, kinds: str, wanted: str) -> np.ndarray:
    if not isinstance(answer, np.ndarray):
        raise Invalid(f"{name} must be a numpy array, got {type(answer).__name__}")
    if answer.dtype.kind not in kinds:
        raise Invalid(f"{name} must be an array of {wanted}, got {answer.dtype}")
    return np.asarray(answer)  # without what a subclass makes of comparisons


def _integers(answer: object, name: str, axes: tuple[str, ...], shape: tuple[int | None, ...]) -> np.ndarray:
    array = _array(answer, name, "iu", "integers")
    _check_shape(array, name, axes, shape)
    return array


def _check_shape(array: np.ndarray, name: str, axes: tuple[str, ...], shape: tuple[int | None, ...]) -> None:
    if array.ndim != len(shape) or any(length not in (None, found) for length, found in zip(shape, array.shape, strict=True)):
        wanted = ", ".join(axis if length is None else f"{length} {axis}" for axis, length in zip(axes, shape, strict=True))
        raise Invalid(f"{name} must have the shape ({wanted}), got {array.shape}")


def _check_range(array: np.ndarray, name: str, least: int, most: int, *, axis: str, wanted: str) -> None:
    # In the array's own type: a conversion first could wrap a large number into the range.
    bad = (array < least) | (array > most)
    if bad.any():
        *place, last = _first(bad)
        where = f"layer {place[0]}" + (f", expert {place[1]}" if len(place) > 1 else "")
        raise Invalid(f"{name} of {where}, {axis} {last} is {array[(*place, last)]}; expected {wanted}")


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(index) for index in np.unravel_index(int(mask.argmax()), mask.shape))
