import math

import numpy as np
import pytest
from placement_cluster_kit import UNIT, sized

from evolve.errors import ConfigError
from evolve.evaluators.placement.cluster import CLUSTERS, check_fits, expert_weights, facts


def test_the_default_is_the_problem_that_others_score_eplb_on():
    h800 = CLUSTERS["h800"]
    assert (h800.nodes, h800.gpus, h800.slots) == (4, 32, 288)
    assert (h800.gpus_per_node, h800.slots_per_gpu, h800.slots_per_node) == (8, 9, 72)
    check_fits(h800, experts=256, groups=8)


def test_an_expert_of_deepseek_v3_has_44_million_weights():
    assert expert_weights(7168, 2048) == 44_040_192
    assert CLUSTERS["h800"].expert_bytes == 44_040_192
    assert CLUSTERS["h800"].flops_per_token == 88_080_384


def test_all_gpus_of_the_small_cluster_share_25_gigabits():
    small = CLUSTERS["a100"]
    assert small.network_bytes_s * small.gpus_per_node * 8 == 25e9
    check_fits(small, experts=128)


def test_programs_are_told_plain_numbers():
    told = facts(UNIT, experts=6, groups=3)
    assert {type(value) for value in told.values()} <= {int, float}
    assert {name: told[name] for name in ("nodes", "gpus", "slots", "experts", "groups")} == {
        "nodes": 2,
        "gpus": 4,
        "slots": 8,
        "experts": 6,
        "groups": 3,
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": 3}, "4 GPUs cannot be divided evenly among 3 nodes"),
        ({"slots": 9}, "9 slots cannot be divided evenly among 4 GPUs"),
        ({"gpus": 0}, "gpus must be an integer of at least 1, got 0"),
        ({"slots": 8.0}, "slots must be an integer"),
        ({"nodes": True}, "nodes must be an integer"),
        ({"flops": 0.0}, "flops must be a finite number, positive; got 0.0"),
        ({"network_bytes_s": math.nan}, "network_bytes_s must be a finite number"),
        ({"memory_bytes_s": math.inf}, "memory_bytes_s must be a finite number"),
        ({"latency_s": -1e-6}, "latency_s must be a finite number, at least 0"),
        ({"overlap": 1.5}, r"overlap must be a finite number, in \[0, 1\]; got 1.5"),
        ({"expert_bytes": np.array(1.0)}, "expert_bytes must be a finite number"),
    ],
)
def test_a_cluster_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        sized(**changes)


def test_fewer_slots_than_experts_are_refused():
    with pytest.raises(ConfigError, match="8 slots cannot hold 9 experts"):
        check_fits(UNIT, experts=9)
    with pytest.raises(ConfigError, match="cannot hold 0 experts"):
        facts(UNIT, experts=0)


@pytest.mark.parametrize("groups", [0, 4, 7])
def test_groups_that_do_not_divide_the_experts_are_refused(groups):
    with pytest.raises(ConfigError, match=f"6 experts cannot be divided into {groups} equal groups"):
        check_fits(UNIT, experts=6, groups=groups)
