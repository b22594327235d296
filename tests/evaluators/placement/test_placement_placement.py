import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from placement_cluster_kit import UNIT, drawn_share, drawn_slots, sized

from evolve.evaluators.base import Invalid
from evolve.evaluators.placement.placement import (
    Maps,
    check_conserved,
    check_grouped,
    check_maps,
    check_share,
    check_slots,
    gpu_load,
    nodes_per_group,
    replicas,
    slot_load,
    split_maps,
    uniform_share,
    wasted,
)

#: Two layers, four experts in eight slots. In layer 1, expert 3 has five replicas.
SLOTS = np.array([[0, 1, 2, 3, 3, 2, 1, 0], [3, 3, 3, 0, 1, 2, 3, 3]])


def maps(slots: np.ndarray, experts: int, room: int | None = None) -> Maps:
    """The slow obvious version of EPLB's other two arrays."""
    layers = len(slots)
    counts = np.array([[int((row == expert).sum()) for expert in range(experts)] for row in slots])
    log2phy = np.full((layers, experts, room or counts.max()), -1)
    for layer in range(layers):
        for expert in range(experts):
            for place, slot in enumerate(np.flatnonzero(slots[layer] == expert)):
                log2phy[layer, expert, place] = slot
    return Maps(slots.copy(), log2phy, counts)


def refused(words, answer, experts=4):
    with pytest.raises(Invalid, match=words):
        check_slots(answer, 2, 8, experts)


# --- slots


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_a_placement_of_any_integers_is_taken(kind):
    slots = check_slots(SLOTS.astype(kind), 2, 8, 4)
    assert slots.dtype == np.int64
    assert (slots == SLOTS).all()


def test_a_placement_is_copied_so_that_no_later_write_reaches_it():
    answer = SLOTS.copy()
    slots = check_slots(answer, 2, 8, 4)
    answer[:] = 0
    assert (slots == SLOTS).all()


@pytest.mark.parametrize("answer", [None, SLOTS.tolist(), 3, "slots", (SLOTS,)])
def test_what_is_no_array_is_refused(answer):
    refused("slots must be a numpy array, got", answer)


@pytest.mark.parametrize("kind", [np.float64, np.float32, bool, complex, object, "U1", "M8[s]"])
def test_what_is_no_array_of_integers_is_refused(kind):
    refused("slots must be an array of integers, got", SLOTS.astype(kind))


def test_a_float_that_is_nan_is_refused_as_a_float():
    refused("must be an array of integers, got float64", np.full((2, 8), np.nan))


@pytest.mark.parametrize("shape", [(8, 2), (2, 8, 1), (16,), (1, 8), (2, 9), (0, 8), ()])
def test_another_shape_is_refused(shape):
    refused(r"slots must have the shape \(2 layers, 8 slots\), got", np.zeros(shape, dtype=int))


@pytest.mark.parametrize("value", [-1, 4, 2**62, -(2**63)])
def test_an_expert_that_does_not_exist_is_refused(value):
    answer = SLOTS.copy()
    answer[1, 6] = value
    refused(f"slots of layer 1, slot 6 is {value}; expected an expert, from 0 to 3", answer)


def test_a_number_that_wraps_around_to_an_expert_is_refused():
    # As int64 it would be -1 and as int32 it would be 3.
    answer = SLOTS.astype(np.uint64)
    answer[0, 0] = 2**64 - 1
    refused(f"slot 0 is {2**64 - 1}", answer)
    answer[0, 0] = 2**32 + 3
    refused(f"slot 0 is {2**32 + 3}", answer)


def test_an_expert_without_a_replica_is_refused():
    answer = SLOTS.copy()
    answer[1, 4] = 3
    refused("expert 1 of layer 1 lies in no slot", answer)


# --- EPLB's three maps


def test_the_three_maps_of_a_placement_are_taken():
    assert (check_maps(maps(SLOTS, 4), 2, 8, 4) == SLOTS).all()


def test_the_three_maps_may_have_room_to_spare_and_any_order_of_slots():
    found = maps(SLOTS, 4, room=9)
    found.log2phy[1, 3, :5] = found.log2phy[1, 3, :5][::-1].copy()
    assert (check_maps(found, 2, 8, 4) == SLOTS).all()


def refuse_maps(words, found):
    with pytest.raises(Invalid, match=words):
        check_maps(found, 2, 8, 4)


def test_a_slot_listed_twice_is_refused():
    # The published scorer adds with an index that names a slot twice, which counts once: half of the expert's load vanished.
    found = maps(SLOTS, 4)
    found.log2phy[0, 2, :2] = 5
    refuse_maps("log2phy of layer 0, expert 2 names slot 5 2 times, and another of its slots never", found)


def test_all_replicas_of_a_hot_expert_on_one_slot_are_refused():
    found = maps(SLOTS, 4)
    found.log2phy[1, 3] = 7
    refuse_maps("expert 3 names slot 7 5 times", found)


def test_a_slot_that_two_experts_share_is_refused():
    found = maps(SLOTS, 4)
    found.log2phy[1, 0, 0] = 4
    refuse_maps("log2phy of layer 1, expert 0 names slot 4 at place 0, but phy2log has expert 1 there", found)


def test_a_hole_inside_a_row_is_refused():
    found = maps(SLOTS, 4)
    found.log2phy[1, 3, 1] = -1
    refuse_maps("log2phy of layer 1, expert 3 has -1 at place 1; its 5 slots come first, then only -1", found)


def test_a_slot_behind_the_last_is_refused():
    found = maps(SLOTS, 4)
    found.log2phy[0, 0, 2] = 7
    refuse_maps("expert 0 has 7 at place 2; its 2 slots come first", found)


@pytest.mark.parametrize("value", [-2, 8, 2**40])
def test_a_slot_that_does_not_exist_is_refused(value):
    found = maps(SLOTS, 4)
    found.log2phy[0, 1, 1] = value
    refuse_maps(f"log2phy of layer 0, expert 1, place 1 is {value}; expected a slot, from 0 to 7, or -1", found)


def test_a_number_that_wraps_around_to_the_end_of_a_row_is_refused():
    # The largest uint64 is -1 as int64.
    found = maps(SLOTS, 4)
    unsigned = found._replace(log2phy=found.log2phy.astype(np.uint64))
    refuse_maps(f"log2phy of layer 0, expert 0, place 2 is {2**64 - 1}", unsigned)


@pytest.mark.parametrize("value", [0, 1, 3, -1, 2**62])
def test_a_count_that_differs_from_the_placement_is_refused(value):
    found = maps(SLOTS, 4)
    found.logcnt[0, 1] = value
    refuse_maps(f"logcnt says that expert 1 of layer 0 has {value} replicas, but phy2log has it in 2 slots", found)


def test_an_expert_counted_zero_times_to_lose_its_load_is_refused():
    # Early scorers skipped experts with no replica; one program dropped 97 % of the load that way.
    found = maps(SLOTS, 4)
    dropped = found._replace(phy2log=np.where(found.phy2log == 0, 1, found.phy2log))
    refuse_maps("phy2log: expert 0 of layer 0 lies in no slot", dropped)


def test_rows_that_are_too_short_for_an_expert_are_refused():
    found = maps(SLOTS, 4)
    refuse_maps(
        "log2phy has 4 places for each expert, but phy2log has expert 3 of layer 1 in 5 slots",
        found._replace(log2phy=found.log2phy[..., :4]),
    )


@pytest.mark.parametrize("field", ["phy2log", "log2phy", "logcnt"])
@pytest.mark.parametrize("kind", [np.float64, bool, object])
def test_maps_that_are_no_integers_are_refused(field, kind):
    found = maps(SLOTS, 4)
    refuse_maps(f"{field} must be an array of integers", found._replace(**{field: getattr(found, field).astype(kind)}))


@pytest.mark.parametrize("field", ["phy2log", "log2phy", "logcnt"])
@pytest.mark.parametrize("change", [lambda a: a[:1], lambda a: a[:, :1], lambda a: a[None], lambda a: a.ravel()])
def test_maps_of_another_shape_are_refused(field, change):
    found = maps(SLOTS, 4)
    refuse_maps(f"{field} must have the shape", found._replace(**{field: change(getattr(found, field))}))


@pytest.mark.parametrize("answer", [None, SLOTS, (SLOTS,), [SLOTS] * 4, {"phy2log": SLOTS}])
def test_an_answer_that_is_not_three_things_is_refused(answer):
    with pytest.raises(Invalid, match=r"expected \(phy2log, log2phy, logcnt\)"):
        split_maps(answer)


def test_a_list_of_three_is_taken_apart():
    assert split_maps([1, 2, 3]) == Maps(1, 2, 3)


@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 6), st.integers(0, 6), st.data())
@settings(deadline=None)  # a shared machine may stall
def test_maps_with_any_one_number_changed_are_refused(seed, layers, experts, extra, data):
    rng = np.random.default_rng(seed)
    slots = drawn_slots(rng, layers, experts + extra, experts)
    found = maps(slots, experts)
    check_maps(found, layers, experts + extra, experts)
    field = data.draw(st.sampled_from(Maps._fields))
    array = getattr(found, field)
    place = tuple(data.draw(st.integers(0, length - 1)) for length in array.shape)
    array[place] += data.draw(st.integers(-experts - extra - 2, experts + extra + 2).filter(bool))
    with pytest.raises(Invalid):
        check_maps(found, layers, experts + extra, experts)


# --- shares


def test_a_share_is_scaled_to_exactly_one_so_that_no_tolerance_can_be_harvested():
    slots = np.array([[0, 0, 1]])
    share = check_share(np.array([[0.5 - 4e-6, 0.5 - 4e-6, 1 + 9e-6]]), slots)
    assert share.tolist() == [[0.5, 0.5, 1.0]]


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.longdouble])
def test_a_share_of_any_floats_is_taken(kind):
    share = check_share(np.array([[1 / 3, 2 / 3, 1]], dtype=kind), np.array([[1, 1, 0]]))
    assert share.dtype == np.float64
    assert np.allclose(share, [[1 / 3, 2 / 3, 1]], atol=1e-6)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (None, "share must be a numpy array"),
        ([[0.5, 0.5, 1.0]], "share must be a numpy array, got list"),
        (np.array([[True, False, True]]), "share must be an array of numbers, got bool"),
        (np.array([[0.5, 0.5, 1.0]], dtype=object), "share must be an array of numbers, got object"),
        (np.array([0.5, 0.5, 1.0]), "share must have the shape"),
        (np.array([[np.nan, 1.0, 1.0]]), "share of layer 0, slot 0 is nan"),
        (np.array([[0.5, 0.5, np.inf]]), "share of layer 0, slot 2 is inf"),
        (np.array([[1.5, -0.5, 1.0]]), "share of layer 0, slot 1 is -0.5"),
        (np.array([[0.5, 0.4, 1.0]]), "the shares of expert 0 of layer 0 add up to 0.9"),
        (np.array([[0.5, 0.5, 0.0]]), "the shares of expert 1 of layer 0 add up to 0;"),
        (np.array([[1e308, 1e308, 1.0]]), "the shares of expert 0 of layer 0 add up to inf"),
        (np.array([[np.longdouble("1e400"), 0, 1.0]]), "share of layer 0, slot 0 is inf"),
    ],
)
def test_a_share_that_is_none_is_refused(share, words):
    with pytest.raises(Invalid, match=words):
        check_share(share, np.array([[0, 0, 1]]))


@given(st.integers(0, 2**32), st.integers(1, 3), st.integers(1, 5), st.integers(0, 5))
@settings(deadline=None)  # a shared machine may stall
def test_no_load_vanishes_or_appears(seed, layers, experts, extra):
    rng = np.random.default_rng(seed)
    slots = drawn_slots(rng, layers, experts + extra, experts)
    load = rng.integers(0, 10**9, (layers, experts))
    for share in (uniform_share(slots, experts), check_share(drawn_share(rng, slots), slots)):
        check_conserved(load, slots, share)
        assert np.allclose(gpu_load(load, slots, share, 1)[:, 0], load.sum(-1), rtol=1e-12)


def test_load_that_does_vanish_is_found():
    with pytest.raises(Invalid, match=r"expert 1 of layer 0 has a load of 7, but its slots have 3.5 together"):
        check_conserved(np.array([[5, 7]]), np.array([[0, 1]]), np.array([[1.0, 0.5]]))


# --- what follows from a placement


def test_replicas_are_counted_by_layer():
    assert replicas(SLOTS, 4).tolist() == [[2, 2, 2, 2], [1, 1, 1, 5]]


def test_replicas_share_alike():
    assert uniform_share(SLOTS, 4).tolist() == [[0.5] * 8, [0.2, 0.2, 0.2, 1, 1, 1, 0.2, 0.2]]


def test_loads_of_slots_and_gpus():
    load = np.array([[2, 4, 6, 8], [1, 2, 3, 50]])
    share = uniform_share(SLOTS, 4)
    assert slot_load(load, SLOTS, share).tolist() == [[1, 2, 3, 4, 4, 3, 2, 1], [10, 10, 10, 1, 2, 3, 10, 10]]
    assert gpu_load(load, SLOTS, share, 4).tolist() == [[3, 7, 7, 3], [20, 11, 5, 20]]


def test_replicas_that_share_a_gpu_are_counted():
    # GPUs hold (0 1)(2 3)(3 2)(1 0) and (3 3)(3 0)(1 2)(3 3); as two GPUs, 3 3 3 0 and 1 2 3 3.
    assert wasted(SLOTS, UNIT).tolist() == [0, 2]
    assert wasted(SLOTS[1:], sized(gpus=2)).tolist() == [3]


def test_a_group_on_several_nodes_is_refused_where_groups_have_to_stay_together():
    # Layer 0 has every expert on both nodes; in the other, group 0 (experts 0, 1) is on node 0 and group 1 on node 1.
    apart = np.array([[0, 0, 1, 1, 2, 3, 3, 3]])
    assert nodes_per_group(SLOTS, UNIT, 4, 2).tolist() == [[2, 2], [2, 2]]
    assert nodes_per_group(apart, UNIT, 4, 2).tolist() == [[1, 1]]
    check_grouped(apart, UNIT, 4, 2)
    with pytest.raises(Invalid, match=r"group 1 of layer 1 \(experts 2 to 3\) lies on 2 nodes"):
        check_grouped(np.concatenate([apart, [[0, 1, 0, 2, 3, 2, 3, 3]]]), UNIT, 4, 2)
