import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evolve.evaluators.moe.corpus import splitmix

SEEDS = st.integers(0, 2**64 - 1)


def test_the_words_are_those_of_the_reference_implementation():
    # First outputs for seed 1234567 of Vigna's splitmix64.c, as they are published with ports to other languages.
    assert splitmix.stream(1234567, 5).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@given(SEEDS)
def test_plain_integers_and_arrays_give_the_same_word(seed):
    assert splitmix.key(seed) == int(splitmix.stream(seed, 1)[0])


@given(st.lists(SEEDS, min_size=1, max_size=5), st.integers(1, 20))
def test_streams_side_by_side_are_the_streams_alone(seeds, count):
    together = splitmix.words(np.array(seeds, dtype=np.uint64), count)
    assert together.tolist() == [splitmix.stream(seed, count).tolist() for seed in seeds]


def test_what_a_stream_is_for_decides_its_seed():
    keys = {splitmix.key(*parts) for parts in [("a", 0, 1), ("a", 1, 0), ("b", 0, 1), ("a", 0), ("a",), ("a", 0, -1)]}
    assert len(keys) == 6
    assert splitmix.key("windows", 3, 4) == 2453588670009021426


@given(SEEDS, st.integers(1, 2**32))
def test_integers_stay_below_their_bound(seed, bound):
    drawn = splitmix.below(splitmix.stream(seed, 50), bound)
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
    assert drawn.max() < bound


def test_integers_below_a_bound_are_even():
    counts = np.bincount(splitmix.below(splitmix.stream(7, 60_000), 6), minlength=6)
    # Each is binomial(60 000, 1/6): five standard deviations are 5 · sqrt(60 000 · 1/6 · 5/6) = 456.
    assert np.abs(counts - 10_000).max() < 456


@given(SEEDS, st.integers(1, 200))
def test_a_permutation_has_each_number_once(seed, size):
    assert sorted(splitmix.permutation(seed, size).tolist()) == list(range(size))
