"""Data to compress, made up anew from a seed: text, numbers, records, and what no model likes."""

from __future__ import annotations

import struct

import numpy as np

_WORDS = str.split(
    "request served from cache connection closed by peer timeout waiting for lock user session started job finished retry "
    "scheduled disk usage above threshold node joined cluster leader elected snapshot written replica behind commit index"
)


def samples(seed: int, size: int) -> dict[str, bytes]:
    """Makes one file of every kind.

    Args:
        seed: Of everything random.
        size: Bytes of each.
    """
    rng = np.random.default_rng(seed)
    makers = {"log": _log, "table": _table, "program": _program, "records": _records}
    return {name: make(rng, size)[:size] for name, make in makers.items()}


def edge_cases(seed: int) -> dict[str, bytes]:
    """Makes files that compressors stumble over."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, 3000, np.uint8).tobytes()
    period = rng.integers(0, 256, int(rng.integers(2, 40)), np.uint8).tobytes()
    return {
        "nothing": b"",
        "one byte": noise[:1],
        "noise": noise,
        "one byte many times": noise[:1] * int(rng.integers(5000, 9000)),
        "a period": (period * 300)[:5000],
        "noise twice": noise + noise,
    }


def _log(rng: np.random.Generator, size: int) -> bytes:
    lines, clock, length = [], 1_700_000_000.0, 0
    hosts = [f"node-{number:02d}.rack{number % 5}" for number in rng.integers(0, 99, 12)]
    while length < size:
        clock += float(rng.exponential(0.8))
        words = " ".join(_WORDS[i] for i in rng.integers(0, len(_WORDS), int(rng.integers(3, 9))))
        level = ("INFO", "INFO", "INFO", "WARN", "ERROR")[int(rng.integers(5))]
        lines.append(f"{clock:.3f} {level:<5} {hosts[int(rng.zipf(1.6)) % 12]} [{int(rng.integers(1, 40)):>4}] {words}\n")
        length += len(lines[-1])
    return "".join(lines).encode()


def _table(rng: np.random.Generator, size: int) -> bytes:
    rows, length, level = ["id,station,temperature,pressure,flag\n"], 0, 15.0
    number = int(rng.integers(1000, 9000))
    while length < size:
        level += float(rng.normal(0, 0.2))
        number += 1
        row = f"{number},ST{int(rng.integers(20)):03d},{level:.2f},{1013 + level / 3 + float(rng.normal(0, 0.5)):.1f},"
        rows.append(row + ("ok\n" if rng.random() < 0.95 else "suspect\n"))
        length += len(rows[-1])
    return "".join(rows).encode()


def _program(rng: np.random.Generator, size: int) -> bytes:
    names = [f"{_WORDS[i]}_{_WORDS[j]}" for i, j in rng.integers(0, len(_WORDS), (30, 2))]
    text, length = [], 0
    while length < size:
        one, two, three = (names[int(rng.zipf(1.4)) % 30] for _ in range(3))
        kind = int(rng.integers(4))
        line = (
            f"    if ({one} > {int(rng.integers(100))}) {{\n        {two} = {three} + {one};\n    }}\n",
            f"    for (int i = 0; i < {one}.size(); i++) {two}[i] += {three};\n",
            f"    return {one}({two}, {three});\n}}\n\n",
            f"static int {one}(int {two}, const std::vector<int>& {three}) {{\n",
        )[kind]
        text.append(line)
        length += len(line)
    return "".join(text).encode()


def _records(rng: np.random.Generator, size: int) -> bytes:
    count = size // 16 + 1
    clock = np.cumsum(rng.integers(90, 110, count)) + 1_000_000
    wave = (2000 * np.sin(np.arange(count) / 25) + np.cumsum(rng.integers(-3, 4, count))).astype(int)
    kinds = rng.choice(4, count, p=[0.7, 0.2, 0.08, 0.02])
    return b"".join(
        struct.pack("<IihHI", int(clock[i]), int(wave[i]), int(kinds[i]), 0xBEEF, int(clock[i] // 1000)) for i in range(count)
    )
