"""Texts made of drawn integers: arithmetic, records and brackets, whose entropy is known exactly.

A domain's documents have numbers, and a document depends on the domain and its number alone, so documents that are held out are
simply others. All documents of a domain have one distribution and are independent, and a document says which draws made it, so
the entropy per byte of the text is that of a document over its mean length (entropy rates: Cover & Thomas 2006, Elements of
Information Theory, chapter 4). No model is below it on average; one that sees a window instead of whole documents stays above.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import permutations
from typing import NamedTuple

import numpy as np

from evolve.evaluators.moe.corpus import splitmix

#: Documents of each domain: about a megabyte, more than a run on a CPU reads.
DOCUMENTS = 2000

_LINES = 64  # of an arithmetic document
_RECORDS = 6  # of a document of records
_WORDS = 24  # of a document of brackets; documents of all three are about 540 bytes long

_FIRST_IDS = range(1000, 9000)  # four digits, also the last record's of a document
_PRICES = range(10_000)
_ITEMS = {
    "kg": ("apples", "barley", "cocoa", "flour", "grapes", "honey", "lentils", "rice", "salt", "sugar"),
    "l": ("cider", "milk", "oil", "paint", "vinegar", "water"),
    "m": ("cable", "chain", "cloth", "pipe", "ribbon", "rope", "thread", "wire"),
    "pc": ("anvil", "basket", "candle", "hammer", "kettle", "lantern", "saddle", "wheel"),
}
_TAGS = ("fragile", "frozen", "gift", "heavy", "new", "organic", "rush", "spare")
_MOST_TAGS = 2

_OPENING, _CLOSING = b"([{<", b")]}>"
_PAIRS = range(2, 21)  # bracket pairs of a word


class Generated(NamedTuple):
    """One domain of generated text.

    Attributes:
        write: From ``(n,)`` uint64 seeds, one for each document, to the documents, each followed by a zero byte.
        entropy: Nats per byte of the text.
    """

    write: Callable[[np.ndarray], bytes]
    entropy: float


class _Sums(NamedTuple):
    """All lines of arithmetic: those of one operation after those of another.

    Attributes:
        lines: Every line with its line feed.
        sizes: Lines of each operation.
    """

    lines: list[bytes]
    sizes: tuple[int, ...]


def arithmetic() -> Generated:
    """Lines such as ``12+7=19``: sum, difference or product, equally often, of numbers up to 99 (products: up to 12)."""
    sums = _sums()
    starts = np.cumsum([0, *sums.sizes[:-1]])
    sizes = np.array(sums.sizes)

    def write(seeds: np.ndarray) -> bytes:
        drawn = splitmix.words(seeds, 2 * _LINES)
        operation = splitmix.below(drawn[:, ::2], len(sizes))
        chosen = starts[operation] + splitmix.below(drawn[:, 1::2], sizes[operation])
        return b"".join(b"".join([sums.lines[line] for line in row]) + b"\0" for row in chosen.tolist())

    line_entropy = math.log(len(sizes)) + _mean([math.log(size) for size in sums.sizes])
    blocks = [sums.lines[start : start + size] for start, size in zip(starts, sums.sizes, strict=True)]
    line_bytes = _mean([_mean([len(line) for line in block]) for block in blocks])
    return Generated(write, _LINES * line_entropy / (_LINES * line_bytes + 1))


def records() -> Generated:
    """JSON objects, one a line, of goods in a store: ids count up within a document, and an item is always in one unit."""
    goods = [f'"item":"{item}","unit":"{unit}"' for unit, items in _ITEMS.items() for item in items]
    # Grouped by how many there are: the number is drawn first.
    tags = [[json.dumps(chosen, separators=(",", ":")) for chosen in permutations(_TAGS, n)] for n in range(_MOST_TAGS + 1)]
    sizes = np.array([len(group) for group in tags])
    paid = ["false", "true"]

    def write(seeds: np.ndarray) -> bytes:
        drawn = splitmix.words(seeds, 1 + 5 * _RECORDS)
        ids = _FIRST_IDS[0] + splitmix.below(drawn[:, :1], len(_FIRST_IDS)) + np.arange(_RECORDS)
        fields = drawn[:, 1:].reshape(len(seeds), _RECORDS, 5)
        count = splitmix.below(fields[:, :, 2], len(sizes))
        columns = [
            ids,
            splitmix.below(fields[:, :, 0], len(goods)),
            splitmix.below(fields[:, :, 1], len(_PRICES)),
            count,
            splitmix.below(fields[:, :, 3], sizes[count]),
            splitmix.below(fields[:, :, 4], len(paid)),
        ]
        rows = np.stack(columns, axis=-1).tolist()
        lines = [
            [f'{{"id":{i},{goods[g]},"price":{p},"tags":{tags[n][t]},"paid":{paid[b]}}}\n' for i, g, p, n, t, b in document]
            for document in rows
        ]
        return "".join("".join(document) + "\0" for document in lines).encode("ascii")

    entropy = _mean([math.log(size) for size in sizes.tolist()]) + sum(
        map(math.log, (len(goods), len(_PRICES), len(sizes), len(paid)))
    )
    fixed = len('{"id":1000,,"price":,"tags":,"paid":}\n')
    drawn_bytes = [
        _mean([len(good) for good in goods]),
        _mean([len(str(price)) for price in _PRICES]),
        _mean([_mean([len(chosen) for chosen in group]) for group in tags]),
        _mean([len(word) for word in paid]),
    ]
    document_entropy = math.log(len(_FIRST_IDS)) + _RECORDS * entropy
    return Generated(write, document_entropy / (_RECORDS * (fixed + sum(drawn_bytes)) + 1))


def brackets() -> Generated:
    """Words of four kinds of bracket, one a line, each balanced and of 2 to 20 pairs.

    A word is a walk: at every place it opens or closes with probability 1/2, unless it is at the bottom (it opens) or has as
    many to close as places left (it closes). What is opened is one of the four with equal probability.
    """
    longest = 2 * _PAIRS[-1]

    def write(seeds: np.ndarray) -> bytes:
        drawn = splitmix.words(seeds, 3 * _WORDS).reshape(-1, 3)
        bytes_left = 2 * (_PAIRS[0] + splitmix.below(drawn[:, 0], len(_PAIRS)))
        text = _walk(bytes_left, steps=drawn[:, 1], kinds=drawn[:, 2], longest=longest)
        documents = np.zeros((len(seeds), _WORDS * text.shape[1] + 1), dtype=np.uint8)
        documents[:, :-1] = text.reshape(len(seeds), -1)
        there = documents != 0
        there[:, -1] = True  # the zero byte that ends it
        written: bytes = documents[there].tobytes()
        return written

    entropy = math.log(len(_PAIRS)) + _mean([_free_steps(pairs) * math.log(2) + pairs * math.log(4) for pairs in _PAIRS])
    return Generated(write, _WORDS * entropy / (_WORDS * (_mean([2 * pairs for pairs in _PAIRS]) + 1) + 1))


def _walk(left: np.ndarray, *, steps: np.ndarray, kinds: np.ndarray, longest: int) -> np.ndarray:
    """Writes a word for each row: ``(n, longest + 1)`` bytes, a line feed behind each word and zeros behind that.

    Args:
        left: ``(n,)`` length of each word.
        steps: ``(n,)`` uint64; bit t says whether place t opens where it is free to.
        kinds: ``(n,)`` uint64; bits 2i and 2i + 1 say which bracket the i-th is.
        longest: At most 64; at most 32 pairs.
    """
    rows = np.arange(len(left))
    text = np.zeros((len(left), longest + 1), dtype=np.uint8)
    stack = np.zeros((len(left), longest // 2 + 1), dtype=np.uint8)  # [i]: the kind open at depth i + 1; the last is spare
    depth = np.zeros(len(left), dtype=np.int64)
    opened = np.zeros(len(left), dtype=np.uint64)
    opening, closing = np.frombuffer(_OPENING, dtype=np.uint8), np.frombuffer(_CLOSING, dtype=np.uint8)
    for place in range(longest):
        within = place < left
        free = (steps >> np.uint64(place)) & np.uint64(1) == 1
        opens = within & ((depth == 0) | (free & (depth < left - place)))
        kind = ((kinds >> (np.uint64(2) * opened)) & np.uint64(3)).astype(np.uint8)
        stack[rows, np.where(opens, depth, -1)] = kind
        text[:, place] = np.where(within, np.where(opens, opening[kind], closing[stack[rows, depth - 1]]), 0)
        depth += np.where(within, np.where(opens, 1, -1), 0)
        opened += opens.astype(np.uint64)
    text[rows, left] = ord("\n")
    return text


def _free_steps(pairs: int) -> float:
    """Returns the expected number of places of a word at which the walk may both open and close."""
    at = {0: 1.0}  # depth to its probability
    expected = 0.0
    for left in range(2 * pairs, 0, -1):
        following: dict[int, float] = {}
        for depth, probability in at.items():
            up = 1.0 if depth == 0 else 0.0 if depth == left else 0.5
            expected += probability if up == 0.5 else 0.0
            following[depth + 1] = following.get(depth + 1, 0.0) + probability * up
            following[depth - 1] = following.get(depth - 1, 0.0) + probability * (1 - up)
        at = {depth: probability for depth, probability in following.items() if probability > 0}
    return expected


def _sums() -> _Sums:
    small, large = range(13), range(100)
    blocks = [
        [f"{a}+{b}={a + b}\n".encode() for a in large for b in large],
        [f"{a}-{b}={a - b}\n".encode() for a in large for b in large],
        [f"{a}*{b}={a * b}\n".encode() for a in small for b in small],
    ]
    return _Sums([line for block in blocks for line in block], tuple(map(len, blocks)))


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
