import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.evaluators.moe.splits import kmeans_split, random_split, taylor_split
from evolve.tasks.catalog import bundled_folders

#: One layer of six units: two for the shared expert, two for each of two others.
IMPORTANCE = np.array([[0.1, 0.9, 0.3, 0.8, 0.2, 0.4]])
FOLDER = bundled_folders()["moe_dense_conversion"]


def program(path):
    namespace: dict[str, object] = {}
    exec((FOLDER / path).read_text(encoding="utf-8"), namespace)
    return namespace["assign"]


def drawn(seed):
    """Importance, activations and weights of two layers: 8 units shared, 12 experts of 2."""
    rng = np.random.default_rng(seed)
    return rng.random((2, 32), np.float32), rng.normal(size=(2, 20, 32)), rng.normal(size=(2, 32, 16))


def test_the_most_important_units_are_shared_and_the_others_dealt_out_in_turn():
    # By rank: 1 and 3 are shared; 5 and 2 begin experts 1 and 2, 4 and 0 follow.
    assert taylor_split(IMPORTANCE, 2, 2).tolist() == [[2, 0, 2, 0, 1, 1]]


def test_of_equally_important_units_the_first_come_first():
    assert taylor_split(np.ones((1, 5)), 1, 2).tolist() == [[0, 1, 2, 1, 2]]


def test_units_that_are_alike_are_put_together_whatever_their_size():
    # Of the units 5, 2, 4 and 0 in the order of importance, 5 and 4 point one way and 2 and 0 the other.
    features = np.array([[[0, 5], [1, 1], [0, 1], [1, 1], [0.1, 0], [9, 0]]], dtype=float)
    assert kmeans_split(features, IMPORTANCE, 2, 2).tolist() == [[2, 0, 2, 0, 1, 1]]


def test_a_cluster_that_is_full_sends_units_to_the_next_one():
    # Four units, all but one alike: two fit, the third goes to the odd one.
    features = np.array([[[1, 0], [1, 0.01], [1, 0.02], [0, 1]]], dtype=float)
    split = kmeans_split(features, np.array([[4.0, 3.0, 2.0, 1.0]]), 0, 2)
    assert sorted(np.bincount(split[0])[1:].tolist()) == [2, 2]


@settings(deadline=None, max_examples=25)  # a shared machine may stall
@given(seed=st.integers(0, 2**31), shared=st.integers(0, 4), experts=st.integers(2, 4), width=st.integers(1, 3))
def test_every_split_gives_every_expert_its_size(seed, shared, experts, width):
    rng = np.random.default_rng(seed)
    hidden = shared + experts * width
    importance, features = rng.random((2, hidden)).round(1), rng.normal(size=(2, hidden, 3)).round(0)
    for split in (
        random_split(2, shared, experts, width, rng),
        taylor_split(importance, shared, experts),
        kmeans_split(features, importance, shared, experts),
    ):
        for row in split:
            assert np.bincount(row, minlength=experts + 1).tolist() == [shared, *[width] * experts]


@pytest.mark.parametrize("seed", range(3))
def test_the_programs_of_the_task_split_as_the_library_does(seed):
    importance, activations, weights = drawn(seed)
    inputs = importance, activations, weights, 8, 12
    by_unit = activations.transpose(0, 2, 1)
    assert np.array_equal(program("initial.py")(*inputs), taylor_split(importance, 8, 12))
    assert np.array_equal(program("baselines/kmeans_weights.py")(*inputs), kmeans_split(weights, importance, 8, 12))
    assert np.array_equal(program("baselines/kmeans_activations.py")(*inputs), kmeans_split(by_unit, importance, 8, 12))
    chance = random_split(2, 8, 12, 2, np.random.default_rng(0))
    assert np.array_equal(program("baselines/random_split.py")(*inputs), chance)
