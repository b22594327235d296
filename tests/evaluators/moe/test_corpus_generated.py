import itertools
import json
import math
import re

import numpy as np
import pytest

from evolve.evaluators.moe.corpus import generated, splitmix
from evolve.evaluators.moe.corpus.cipher import decipher, encipher

SEEDS = splitmix.stream(1, 300)


def lines(text: bytes) -> list[str]:
    return text.replace(b"\0", b"").decode("ascii").splitlines()


@pytest.mark.parametrize("domain", [generated.arithmetic, generated.records, generated.brackets])
def test_a_document_depends_on_its_seed_alone(domain):
    write = domain().write
    assert b"".join(write(SEEDS[i : i + 1]) for i in range(5)) == write(SEEDS[:5])
    assert write(SEEDS).count(b"\0") == len(SEEDS)


def test_arithmetic_is_true():
    for line in lines(generated.arithmetic().write(SEEDS)):
        a, operation, b, result = re.fullmatch(r"(\d+)([-+*])(\d+)=(-?\d+)", line).groups()
        assert int(result) == {"+": int(a) + int(b), "-": int(a) - int(b), "*": int(a) * int(b)}[operation]


def test_records_are_json_and_count_up_within_a_document():
    units = {}
    for document in generated.records().write(SEEDS)[:-1].split(b"\0"):
        objects = [json.loads(line) for line in document.splitlines()]
        first = objects[0]["id"]
        assert [thing["id"] for thing in objects] == list(range(first, first + len(objects)))
        for thing in objects:
            assert list(thing) == ["id", "item", "unit", "price", "tags", "paid"]
            assert len(set(thing["tags"])) == len(thing["tags"])
            assert units.setdefault(thing["item"], thing["unit"]) == thing["unit"]
    assert len(units) == 32


def test_brackets_balance():
    pairs = {")": "(", "]": "[", "}": "{", ">": "<"}
    lengths = set()
    for word in lines(generated.brackets().write(SEEDS)):
        stack = []
        for char in word:
            if char in pairs:
                assert stack.pop() == pairs[char]
            else:
                assert char in pairs.values()
                stack.append(char)
        assert not stack
        lengths.add(len(word))
    assert lengths == set(range(4, 41, 2))


def slow_walk(left: int, steps: int, kinds: int) -> str:
    word, stack, opened = "", [], 0
    for place in range(left):
        if not stack or (steps >> place & 1 and len(stack) < left - place):
            stack.append(kinds >> 2 * opened & 3)
            opened += 1
            word += "([{<"[stack[-1]]
        else:
            word += ")]}>"[stack.pop()]
    return word


def test_walks_side_by_side_are_those_of_the_slow_obvious_version():
    drawn = splitmix.words(SEEDS, 3)
    left = 4 + 2 * splitmix.below(drawn[:, 0], 19)
    text = generated._walk(left, steps=drawn[:, 1], kinds=drawn[:, 2], longest=40)
    expected = [slow_walk(*row) for row in zip(left.tolist(), *drawn[:, 1:].T.tolist(), strict=True)]
    assert [row.tobytes().rstrip(b"\0").decode() for row in text] == [f"{word}\n" for word in expected]


def test_free_places_of_a_walk_are_those_of_all_walks_enumerated():
    # Two pairs: open; then free (depth 1, three left): up → two forced closings; down → forced open, forced close. One free place.
    assert generated._free_steps(2) == 1
    for pairs in (3, 4, 5):
        expected = 0.0
        for bits in itertools.product((0, 1), repeat=2 * pairs):
            depth, free = 0, 0
            for place, bit in enumerate(bits):
                left = 2 * pairs - place
                free += 0 < depth < left
                depth += 1 if depth == 0 or (bit and depth < left) else -1
            expected += free / 4**pairs
        assert generated._free_steps(pairs) == pytest.approx(expected, abs=1e-12)


def test_the_entropy_of_arithmetic_is_that_of_its_lines_counted():
    # A line is one of three operations, then one of 100 · 100, 100 · 100 or 13 · 13 pairs.
    nats = 64 * (math.log(3) + (2 * math.log(10_000) + math.log(169)) / 3)
    digits = {
        "+": np.mean([len(f"{a}+{b}={a + b}\n") for a in range(100) for b in range(100)]),
        "-": np.mean([len(f"{a}-{b}={a - b}\n") for a in range(100) for b in range(100)]),
        "*": np.mean([len(f"{a}*{b}={a * b}\n") for a in range(13) for b in range(13)]),
    }
    assert generated.arithmetic().entropy == pytest.approx(nats / (64 * sum(digits.values()) / 3 + 1), rel=1e-12)


@pytest.mark.parametrize(
    ("domain", "nats"),
    [
        (generated.arithmetic, 64 * (math.log(3) + (2 * math.log(10_000) + math.log(169)) / 3)),
        # First id; then item, price, number of tags, tags (1, 8 or 8 · 7 ways), paid.
        (generated.records, math.log(8000) + 6 * (math.log(32 * 10_000 * 3 * 2) + (math.log(8) + math.log(56)) / 3)),
    ],
)
def test_entropies_are_nats_of_the_draws_over_bytes_of_the_text(domain, nats):
    made = domain()
    lengths = np.array([len(document) + 1 for document in made.write(splitmix.stream(2, 2000))[:-1].split(b"\0")])
    # The mean of 2000 documents against the mean of all: within five standard errors.
    assert abs(nats / made.entropy - lengths.mean()) < 5 * lengths.std() / math.sqrt(len(lengths))


def test_the_entropy_of_brackets_agrees_with_what_the_draws_cost_in_the_text():
    made = generated.brackets()
    text = made.write(splitmix.stream(3, 2000))
    nats = 0.0
    for word in lines(text):
        nats += math.log(19)
        depth = 0
        for place, char in enumerate(word):
            nats += math.log(2) if 0 < depth < len(word) - place else 0.0
            nats += math.log(4) if char in "([{<" else 0.0
            depth += 1 if char in "([{<" else -1
    assert nats / len(text) == pytest.approx(made.entropy, rel=0.005)


def test_the_cipher_is_one_to_one_and_shares_no_byte_with_ascii():
    everything = bytes(range(128))
    hidden = encipher(everything)
    assert hidden[0] == 0
    assert min(hidden[1:]) >= 128
    assert len(set(hidden)) == 128
    assert decipher(hidden) == everything
    with pytest.raises(ValueError, match="only ASCII"):
        encipher(b"\x80")
