import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.evaluators.moe.corpus import DOMAINS, Corpus, DomainText, entropy_floor, load_corpus
from evolve.evaluators.moe.corpus.cipher import decipher

#: Of the first 100 000 bytes of each domain's training text.
PINNED = {
    "code": "02426d628212ec858f22f776ab6891faf5e6d88e6e4075cce3be68f9c7452380",
    "prose": "b1e109045ec30cd876dbe03be42bb9da06e2075da92d6f951b038541b6a3b5da",
    "cipher": "08fd40125b6b49d443f1ed9a82b8b1c55ff279319a3f5246e452682483ae59ce",
    "arithmetic": "dbc741695affd9acbe47649ce7c65f9c69173201a32f9ab64483063d422ffc41",
    "records": "de9fb8f45fda9b2c4a302f6c997d43f0875b380def5bea0ef0c7c4fb1df8f969",
    "brackets": "40d72fe7418f039eb7769f4d6d252c550432407c73d162623f280339d4653993",
}
BATCH = "3d52c778c0e1728a21838246e640cfac3819fe5a3455d70a0a73419c5bc26f08"


@pytest.fixture(scope="module")
def loaded() -> Corpus:
    return load_corpus()


def small() -> Corpus:
    texts = {name: np.frombuffer(bytes([i]) * 100, dtype=np.uint8) for i, name in enumerate("abc")}
    return Corpus({name: DomainText(text, text) for name, text in texts.items()})


def sha256(tokens: np.ndarray) -> str:
    return hashlib.sha256(tokens.tobytes()).hexdigest()


def test_every_domain_is_the_same_bytes_everywhere(loaded):
    assert loaded.domains == DOMAINS
    assert {name: sha256(text.training[:100_000]) for name, text in loaded.texts.items()} == PINNED


def test_a_batch_is_the_same_bytes_everywhere(loaded):
    batch = loaded.train_batch(3, 41, micro_batches=4, sequences=4, length=128)
    assert batch.tokens.shape == (16, 129)
    assert batch.tokens.dtype == np.uint8
    assert sha256(batch.tokens) == BATCH


def test_a_batch_depends_on_its_arguments_alone(loaded):
    first = loaded.train_batch(0, 5, micro_batches=4, sequences=2, length=32)
    loaded.train_batch(0, 6, micro_batches=4, sequences=2, length=32)
    again = loaded.train_batch(0, 5, micro_batches=4, sequences=2, length=32)
    assert np.array_equal(first.tokens, again.tokens)
    assert np.array_equal(first.domains, again.domains)
    assert not np.array_equal(first.tokens, loaded.train_batch(1, 5, micro_batches=4, sequences=2, length=32).tokens)


def test_every_micro_batch_is_training_text_of_its_domain(loaded):
    batch = loaded.train_batch(0, 0, micro_batches=6, sequences=3, length=64)
    for place, row in zip(np.repeat(batch.domains, 3), batch.tokens, strict=True):
        assert row.tobytes() in loaded.texts[DOMAINS[place]].training.tobytes()


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(0, 50))
def test_every_domain_comes_once_in_each_round(seed, micro_batches, start):
    made = small()
    steps = [
        made.train_batch(seed, step, micro_batches=micro_batches, sequences=1, length=4).domains for step in range(3 * (start + 1))
    ]
    places = np.concatenate(steps)
    for begin in range(0, len(places) - 2, 3):
        assert sorted(places[begin : begin + 3].tolist()) == [0, 1, 2]


def test_shares_are_the_same_in_all_runs(loaded):
    for seed in (0, 1):
        counts = Counter()
        for step in range(30):
            counts.update(loaded.train_batch(seed, step, micro_batches=4, sequences=1, length=8).domains.tolist())
        assert counts == dict.fromkeys(range(6), 20)


def test_the_order_of_domains_is_drawn():
    orders = {tuple(small().train_batch(0, step, micro_batches=3, sequences=1, length=4).domains.tolist()) for step in range(60)}
    assert len(orders) == 6  # one of the six is missing with probability below 6 · (5/6)^60 = 1e-4; the seed is fixed


def test_weights_make_a_mixture_to_within_one_micro_batch():
    made = small()
    counts = Counter()
    for step in range(400):
        domains = made.train_batch(0, step, micro_batches=4, sequences=1, length=4, weights={"a": 0.85, "c": 0.15}).domains.tolist()
        assert domains.count(0) in (3, 4)
        assert domains.count(1) == 0
        counts.update(domains)
    # In a step a comes 4 times with probability 0.4, else 3 times: 400 · 3.4 = 1360, standard deviation sqrt(400 · 0.24) = 9.8.
    assert abs(counts[0] - 1360) < 40


def test_weights_are_relative():
    made = small()
    arguments = {"micro_batches": 8, "sequences": 1, "length": 4}
    assert np.array_equal(
        made.train_batch(0, 1, weights={"a": 1, "b": 3}, **arguments).domains,
        made.train_batch(0, 1, weights={"a": 2, "b": 6, "c": 0}, **arguments).domains,
    )


@pytest.mark.parametrize("weights", [{}, {"a": -1.0, "b": 2.0}, {"a": 0.0}, {"a": float("nan")}])
def test_weights_that_are_no_mixture_are_refused(weights):
    with pytest.raises(ValueError, match="weights must be finite, >= 0 and not all zero"):
        small().train_batch(0, 0, micro_batches=1, sequences=1, length=4, weights=weights)


def test_an_unknown_domain_is_named_with_the_nearest(loaded):
    with pytest.raises(ValueError, match=r"unknown domain 'prosa'; did you mean 'prose'"):
        load_corpus(["prosa"])
    with pytest.raises(ValueError, match=r"unknown domain 'prosa'; did you mean 'prose'"):
        loaded.held_out("prosa", 1, 8)
    with pytest.raises(ValueError, match=r"unknown domain 'prosa'; did you mean 'prose'"):
        entropy_floor("prosa")
    with pytest.raises(ValueError, match=r"weights name an unknown domain 'prosa'; did you mean 'prose'"):
        loaded.train_batch(0, 0, micro_batches=1, sequences=1, length=8, weights={"prosa": 1})


@pytest.mark.parametrize("domains", [[], ["code", "code"]])
def test_domains_are_named_once(domains):
    with pytest.raises(ValueError, match="at least one, each once"):
        load_corpus(domains)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="got 0, -1, 1, 1 and 4"):
        small().train_batch(0, -1, micro_batches=1, sequences=1, length=4)
    with pytest.raises(ValueError, match="a text of 100 bytes has no sequence of 101 bytes"):
        small().train_batch(0, 0, micro_batches=1, sequences=1, length=100)


def test_a_text_of_one_sequence_gives_it():
    assert small().train_batch(0, 0, micro_batches=1, sequences=2, length=99).tokens.shape == (2, 100)


def test_held_out_sequences_are_fixed_and_do_not_overlap():
    text = np.arange(100, dtype=np.uint8)
    made = Corpus({"a": DomainText(text, text)})
    assert made.held_out("a", 3, 4).tolist() == [[0, 1, 2, 3, 4], [33, 34, 35, 36, 37], [66, 67, 68, 69, 70]]
    assert np.array_equal(made.held_out("a", 20, 4).ravel(), text)
    with pytest.raises(ValueError, match="a holds 100 bytes out, which is 20 sequences of 5 bytes: asked for 21"):
        made.held_out("a", 21, 4)


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_is_held_out_is_never_trained_on(loaded, domain):
    text = loaded.texts[domain]
    training, held_out = text.training.tobytes(), text.held_out.tobytes()
    assert not set(training[:-1].split(b"\0")) & set(held_out[:-1].split(b"\0"))
    sequences = [row.tobytes() for row in loaded.held_out(domain, 300, 128)]
    assert not [row for row in sequences if row in training]


def test_a_tenth_of_each_domain_is_held_out(loaded):
    for text in loaded.texts.values():
        assert 0.08 < len(text.held_out) / (len(text.training) + len(text.held_out)) < 0.12


def test_the_cipher_is_the_prose_and_shares_only_the_end_of_documents_with_it(loaded):
    for cipher, prose in zip(loaded.texts["cipher"], loaded.texts["prose"], strict=True):
        assert decipher(cipher.tobytes()) == prose.tobytes()
        assert set(cipher.tolist()) & set(prose.tolist()) == {0}


def test_some_domains_can_be_had_without_the_others():
    some = load_corpus(["brackets", "prose"])
    assert some.domains == ("brackets", "prose")
    assert set(some.train_batch(0, 0, micro_batches=2, sequences=1, length=8).domains.tolist()) == {0, 1}


def test_nobody_can_change_a_text(loaded):
    with pytest.raises(ValueError, match="read-only"):
        loaded.texts["code"].training[0] = 0


def test_floors_are_known_where_text_is_generated():
    floors = {domain: entropy_floor(domain) for domain in DOMAINS}
    assert [floors[domain] for domain in ("code", "prose", "cipher")] == [None, None, None]
    assert floors["arithmetic"] == pytest.approx(1.0449, abs=1e-4)
    assert floors["records"] == pytest.approx(0.2200, abs=1e-4)
    assert floors["brackets"] == pytest.approx(1.2376, abs=1e-4)
