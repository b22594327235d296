import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.archive.pool import Crowding, Pool, Ranked, as_stored, best_first, inspirations
from evolve.archive.population import Member


def member(name: str, fitness: float, embedding: list[float] | None = None, *, size: int = 100, step: int = 1) -> Member:
    unit = None if embedding is None else np.array(embedding, np.float32) / np.float32(np.linalg.norm(embedding))
    return Member(name, step, fitness, size, embedding=unit)


def names(pool: Ranked) -> list[str]:
    return [kept.program_id for kept in pool.members]


def distant(*members: Member, capacity: int) -> Pool:
    pool = Pool(capacity, Crowding.DISTANCE)
    for each in members:
        pool.put(each)
    return pool


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 2)), max_size=40), st.data())
def test_ranked_agrees_with_sorting(values, data):
    members = [member(f"p{i}", float(fitness), size=size, step=i) for i, (fitness, size) in enumerate(values)]
    ranked = Ranked()
    assert all(ranked.add(each) for each in members)
    assert not any(ranked.add(each) for each in members)
    gone = data.draw(st.sets(st.sampled_from(range(len(members))))) if members else set()
    for each in members:
        assert ranked.members[ranked.index(each)] is each
    for i in gone:
        ranked.remove(members[i])
    assert ranked.members == sorted((each for i, each in enumerate(members) if i not in gone), key=best_first)
    assert all((each.program_id in ranked) == (i not in gone) for i, each in enumerate(members))


def test_what_is_not_there_cannot_be_found():
    with pytest.raises(KeyError):
        Ranked().index(member("a", 1.0))


def test_the_worst_goes_out_of_a_full_pool():
    pool = Pool(2)
    assert [pool.put(member(name, fitness)) for name, fitness in [("a", 1.0), ("b", 3.0)]] == [None, None]
    assert pool.put(member("c", 2.0)) == member("a", 1.0)
    assert pool.put(member("d", 0.0)) == member("d", 0.0)
    assert names(pool) == ["b", "c"]


def test_a_pool_of_no_capacity_keeps_nothing():
    assert Pool(0).put(member("a", 1.0)) == member("a", 1.0)


def test_by_distance_a_newcomer_replaces_the_most_similar_that_is_worse():
    pool = distant(member("east", 1.0, [1, 0]), member("north", 0.5, [0, 1]), capacity=2)
    gone = pool.put(member("north-east", 0.6, [1, 2]))
    assert gone is not None
    assert gone.program_id == "north"
    assert names(pool) == ["east", "north-east"]


def test_by_distance_a_newcomer_worse_than_the_most_similar_stays_out_though_others_are_worse_still():
    pool = distant(member("east", 1.0, [1, 0]), member("north", 0.1, [0, 1]), capacity=2)
    assert pool.put(member("nearly east", 0.9, [5, 1])) == member("nearly east", 0.9)
    assert names(pool) == ["east", "north"]


def test_by_distance_a_long_program_is_not_like_everything():
    long, short = (
        Member(name, 1, fitness, 100, embedding=np.array(vector, np.float32))
        for name, fitness, vector in (("long", 2, [9, 9]), ("short", 1, [1, 0]))
    )
    pool = Pool(2, Crowding.DISTANCE)
    for known in (long, short):
        pool.put(known)
    gone = pool.put(Member("new", 2, 1.5, 100, embedding=np.array([1, 0.2], np.float32)))
    assert gone is short


def test_by_distance_a_pool_that_is_not_full_takes_anybody():
    assert len(distant(*(member(f"p{i}", 1.0, [1, 0], step=i) for i in range(3)), capacity=3)) == 3


def test_without_anything_to_compare_the_worst_goes_out():
    pool = distant(member("a", 2.0), member("b", 1.0), capacity=2)
    assert pool.put(member("c", 3.0, [1, 0])) == member("b", 1.0)
    assert pool.put(member("d", 4.0)) == member("a", 2.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 11)), min_size=1, max_size=40), st.integers(1, 5))
def test_by_distance_the_best_is_never_lost(values, capacity):
    pool = Pool(capacity, Crowding.DISTANCE)
    seen = []
    for step, (fitness, hour) in enumerate(values):
        angle = hour * np.pi / 6
        seen.append(member(f"p{step}", float(fitness), [np.cos(angle), np.sin(angle)], step=step))
        pool.put(seen[-1])
        assert pool.members[0] == min(seen, key=best_first)
        assert len(pool) <= capacity


def test_embeddings_are_compared_as_they_are_read_back():
    exact = member("a", 1.0, [1, 3, 7])
    rounded = as_stored(exact)
    assert rounded.embedding is not None
    assert not np.array_equal(rounded.embedding, exact.embedding)
    assert np.array_equal(rounded.embedding, as_stored(rounded).embedding)
    assert as_stored(member("b", 1.0)) == member("b", 1.0)


@settings(deadline=None)
@given(st.integers(1, 12), st.integers(0, 12), st.data())
def test_inspirations_are_distinct_best_first_and_never_the_parent(n_members, count, data):
    parent = data.draw(st.integers(0, n_members - 1))
    favoured = data.draw(st.permutations(range(n_members)))
    shown = inspirations(n_members, parent, count, np.random.default_rng(0), favoured=favoured)
    assert list(shown) == sorted(set(shown))
    assert parent not in shown
    assert len(shown) == min(count, n_members - 1)
    if count and n_members > 1:
        assert shown[0] == (1 if parent == 0 else 0)


def test_half_of_the_places_beside_the_best_go_to_the_favoured():
    for seed in range(20):
        shown = inspirations(30, 7, 5, np.random.default_rng(seed), favoured=[7, 29, 0, 13, 20])
        assert {0, 29, 13} <= set(shown)
    others = {i for seed in range(200) for i in inspirations(30, 7, 5, np.random.default_rng(seed), favoured=[29, 13])}
    assert others == set(range(30)) - {7}
