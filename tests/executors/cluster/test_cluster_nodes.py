import logging

import pytest
from cluster_kit import node
from hypothesis import given
from hypothesis import strategies as st

from evolve.executors.cluster.needs import Needs
from evolve.executors.cluster.nodes import Nodes
from evolve.program import Isolation


def nodes(*there):
    made = Nodes(Needs(1.0))
    made.are(there)
    return made


def test_capacity_is_what_the_nodes_hold_together():
    assert nodes(node("a", CPU=3.0), node("b", CPU=2.0), node("head", CPU=0.0)).capacity == 5
    assert nodes().capacity == 0


def test_a_node_that_is_left_out_holds_nothing():
    cluster = nodes(node("a", CPU=3.0), node("b", CPU=2.0))
    cluster.leave_out("a", "its disk is full")
    assert cluster.capacity == 2
    assert cluster.to_avoid(set()) == ["a"]
    assert "host-a: cpus 3, memory 0 MB (left out: its disk is full)" in cluster.text()


@pytest.mark.parametrize(("cpus", "in_flight"), [(0, 1), (1, 2), (7, 8), (8, 9), (9, 11), (16, 18), (64, 72)])
def test_an_eighth_more_than_the_cluster_holds_waits(cpus, in_flight):
    assert nodes(node("a", CPU=float(cpus))).in_flight == in_flight


def test_an_attempt_is_kept_off_a_node_where_others_can_take_it():
    cluster = nodes(node("a", CPU=1.0), node("b", CPU=1.0))
    assert cluster.to_avoid({"a"}) == ["a"]
    assert cluster.to_avoid({"gone", ""}) == []


def test_an_attempt_is_not_kept_off_the_only_node_that_can_take_it():
    cluster = nodes(node("a", CPU=1.0), node("head", CPU=0.0))
    assert cluster.to_avoid({"a"}) == []
    assert nodes(node("a", CPU=1.0)).to_avoid({"a"}) == []


def test_the_only_node_that_is_not_left_out_is_not_avoided():
    cluster = nodes(node("a", CPU=1.0), node("b", CPU=1.0))
    cluster.leave_out("b", "no")
    assert cluster.to_avoid({"a"}) == ["b"]


def test_a_node_that_was_left_out_and_left_is_not_named():
    cluster = nodes(node("a", CPU=1.0), node("b", CPU=1.0))
    cluster.leave_out("b", "no")
    cluster.are([node("a", CPU=1.0)])
    assert cluster.to_avoid(set()) == []


names = st.sets(st.sampled_from("abcdef"))


@given(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3)), names, names)
def test_some_node_that_could_take_an_attempt_is_never_avoided(cpus, left_out, avoided):
    cluster = nodes(*(node(name, CPU=float(count)) for name, count in cpus.items()))
    for name in left_out:
        cluster.leave_out(name, "no")
    named = set(cluster.to_avoid(avoided))
    able = {name for name, count in cpus.items() if count and name not in left_out}
    assert left_out & cpus.keys() <= named <= cpus.keys()
    assert not able or able - named


def test_clusters_may_grow_so_one_without_nodes_is_not_the_end():
    assert nodes().some_left
    cluster = nodes(node("a"), node("b"))
    cluster.leave_out("a", "no")
    assert cluster.some_left
    cluster.leave_out("b", "no")
    assert not cluster.some_left
    cluster.are([node("a"), node("b"), node("head", CPU=0.0)])
    assert not cluster.some_left
    cluster.are([node("a"), node("b"), node("c")])
    assert cluster.some_left


def test_who_joins_and_who_leaves_is_said_with_the_size_that_results(caplog):
    cluster = Nodes(Needs(1.0))
    with caplog.at_level(logging.INFO):
        cluster.are([node("a", CPU=1.0)])
        cluster.are([node("a", CPU=1.0), node("b", CPU=2.0)])
        cluster.are([node("b", CPU=2.0)])
    assert [record.message for record in caplog.records] == [
        "node host-b has joined; the cluster holds 3 evaluations",
        "node host-a has left; the cluster holds 2 evaluations",
    ]


def test_levels_are_kept_by_host_and_said_once(caplog):
    cluster = nodes(node("a"))
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            cluster.offers("oak", Isolation.STRONG)
    assert cluster.levels == {"oak": Isolation.STRONG}
    assert len(caplog.records) == 1


def test_nodes_are_listed_by_host_without_what_ray_adds():
    resources = {"CPU": 4.0, "GPU": 1.0, "oven": 2.0, "memory": 512.0 * 2**20, "node:10.0.0.1": 1.0, "object_store_memory": 1.0}
    cluster = nodes(node("b", **resources), node("a", CPU=1.5))
    assert cluster.text() == "host-a: cpus 1.5, memory 0 MB; host-b: cpus 4, gpus 1, oven 2, memory 512 MB"
    assert nodes().text() == "no node"
