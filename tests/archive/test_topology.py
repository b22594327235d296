import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.archive.topology import check_topology, edges
from evolve.errors import ConfigError


def test_the_named_graphs_have_the_edges_of_their_names():
    assert edges("ring", 3) == [(0, 1), (1, 2), (2, 0)]
    assert edges("both", 4) == [(0, 1), (0, 3), (1, 2), (1, 0), (2, 3), (2, 1), (3, 0), (3, 2)]
    assert edges("full", 3) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    assert edges("none", 3) == []


def test_two_islands_are_neighbours_once():
    assert edges("both", 2) == edges("ring", 2) == [(0, 1), (1, 0)]


def test_listed_edges_are_taken_as_they_are_as_far_as_their_islands_exist():
    assert edges("2>0, 0 > 1,1>2", 3) == [(2, 0), (0, 1), (1, 2)]
    assert edges("2>0, 0 > 1,1>2", 2) == [(0, 1)]


@given(st.sampled_from(["ring", "both", "full", "none", "0>1, 1>0, 5>2"]), st.integers(1, 7))
def test_edges_join_two_islands_that_exist_and_come_once(topology, n_islands):
    found = edges(topology, n_islands)
    assert len(set(found)) == len(found)
    assert all(source != target and 0 <= source < n_islands and 0 <= target < n_islands for source, target in found)


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"unknown topology 'rings'; did you mean 'ring'\?"):
        check_topology("rings", 2)
    for text in ("", "0>1>2", "0-1", "a>b", "0>1,"):
        with pytest.raises(ConfigError, match="unknown topology"):
            check_topology(text, 3)


def test_edges_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="1>3 names an island that there is not; islands are 0 to 2"):
        check_topology("0>1, 1>3", 3)
    with pytest.raises(ValueError, match="1>1 leads from an island to itself"):
        check_topology("1>1", 3)
    check_topology("0>1, 1>2", 3)
