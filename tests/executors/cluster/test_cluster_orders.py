import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolve.executors import messages
from evolve.executors.base import Evaluated
from evolve.executors.cluster.orders import Notice, Order, Refusal, first_sentence, pack_answer, unpack_answer
from evolve.program import Direction, Evaluation, Isolation, Metric, Outcome, Stage

numbers = st.floats(allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_categories=["Cs"]))
levels = st.none() | st.sampled_from(Isolation)
requests = st.just({}) | st.fixed_dictionaries(
    {
        "stage": st.sampled_from([stage.value for stage in Stage]),
        "files": st.dictionaries(words, words, max_size=3),
        "seed": st.integers(0, 2**63 - 1),
        "artifacts": st.booleans(),
        "fresh": st.booleans(),
    }
)


@given(st.builds(Order, words, words, levels, numbers, requests))
def test_an_order_comes_back_as_it_was(order):
    again = Order.unpacked(order.packed())
    assert again == order
    assert again.isolation is None or isinstance(again.isolation, Isolation)


@given(st.builds(Notice, words, words, levels, st.none() | st.sampled_from(Refusal), words))
def test_a_notice_comes_back_as_it_was(notice):
    again = Notice.unpacked(notice.packed())
    assert again == notice
    assert again.refusal is None or isinstance(again.refusal, Refusal)


ends = st.tuples(st.just(Outcome.OK), numbers) | st.tuples(
    st.sampled_from([*Outcome]).filter(lambda o: o is not Outcome.OK), st.none()
)
evaluations = st.builds(
    lambda end, **more: Evaluation(*end, **more),
    ends,
    metrics=st.dictionaries(words, st.builds(Metric, numbers, st.none() | st.sampled_from(Direction)), max_size=3),
    feedback=words,
    cpu_s=numbers,
    wall_s=numbers,
    isolation=levels,
    evaluator_sha256=words,
    timing_dependent=st.booleans(),
    stage=st.sampled_from(Stage),
    instances=st.dictionaries(words, numbers, max_size=3),
    values=st.lists(numbers, max_size=3).map(tuple),
    shared_process=st.booleans(),
)


@given(st.none() | st.builds(Evaluated, evaluations, st.none() | st.binary()))
def test_an_answer_comes_back_as_it_was(answer):
    assert unpack_answer(pack_answer(answer)) == answer


@pytest.mark.parametrize("size", [6_000, 20_000])
def test_an_order_is_small_beside_what_ray_keeps_in_its_store(size):
    # Letters at random: what compresses worst of all that could be a program.
    letters = random.Random(0).choices("abcdefghijklmnopqrstuvwxyz_ =()\n", k=size)
    request = messages.request(Stage.EVALUATE, {"initial.py": "".join(letters)}, 0)
    packed = Order("ab" * 32, "cd" * 32, Isolation.STRONG, 30.0, request).packed()
    assert len(packed) < min(size, 64 * 1024)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("The worker died. Look at its log.", "The worker died"),
        ("The worker died.", "The worker died"),
        ("The worker died", "The worker died"),
        ("  spaces around  ", "spaces around"),
        ("", ""),
        ("Version 2.60 of Ray is there. Another is here.", "Version 2.60 of Ray is there"),
        ("Cannot reach 10.0.0.1:6379. Is it up?", "Cannot reach 10.0.0.1:6379"),
        ("[2026-01-02 03:04:05,678 E 12 34] gcs_client.cc:212: No head. Try again.", "No head"),
        ("core_worker.h:12: It ended. Why?", "It ended"),
        ("two\nlines. And more.", "two\nlines"),
    ],
)
def test_of_rays_messages_the_first_sentence_is_kept(text, first):
    assert first_sentence(text) == first


@given(st.text())
def test_a_sentence_is_never_long(text):
    assert len(first_sentence(text * 50)) <= 500
