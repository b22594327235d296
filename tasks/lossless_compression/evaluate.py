"""Scores a compressor by the bytes that it needs; every byte must come back, from a fresh process that has seen nothing else."""

import hashlib
from pathlib import Path

from corpus import edge_cases, samples

from evolve.evaluators import Invalid, IsolatedProgram, Metric, Score
from evolve.evaluators.timing import interleaved

#: Of the data that is scored; of each of its four kinds.
SEED, SIZE = 20_240_229, 24_000
#: Source beyond this counts as output, or the data could be kept in it.
FREE_SOURCE_BYTES = 16_000
REFERENCE = Path(__file__).with_name("reference.cpp").read_text(encoding="utf-8")


def evaluate(program: IsolatedProgram) -> Score:
    data = samples(SEED, SIZE)
    sizes = {name: len(round_trip(program, name, content)) for name, content in data.items()}
    source = "".join(program.files.values()).encode()
    # The same for the same program, and nothing that it could know.
    fresh = int.from_bytes(hashlib.sha256(source).digest()[:4], "big")
    for name, content in {**edge_cases(fresh), **samples(fresh, 2000)}.items():
        round_trip(program, name, content)
    everything = b"".join(data.values()) * 4  # so that the work takes longer than starting a process
    reference = program.sibling({"main.cpp": REFERENCE})
    speed = interleaved(
        lambda: program.execute(["c"], everything).cpu_s, lambda: reference.execute(["c"], everything).cpu_s, rounds=3
    )
    excess = max(0, len(source) - FREE_SOURCE_BYTES)
    metrics = {f"bits_per_byte_{name}": Metric(8 * size / SIZE, "minimize") for name, size in sizes.items()}
    times = {"compress_s": min(speed.program_s), "reference_s": min(speed.reference_s)}
    text = ", ".join(f"{name} {size} of {SIZE}" for name, size in sizes.items())
    notes = f"Bytes: {text}." + (f" {excess} bytes of source beyond {FREE_SOURCE_BYTES} were added." if excess else "")
    return Score(sum(sizes.values()) + excess, {**metrics, **times, "source_bytes": len(source)}, notes)


def round_trip(program: IsolatedProgram, name: str, content: bytes) -> bytes:
    """Compresses and decompresses, each in a process of its own; returns what lay between."""
    packed = program.execute(["c"], content).stdout
    unpacked = program.execute(["d"], packed).stdout
    if unpacked != content:
        at = next((i for i, (a, b) in enumerate(zip(unpacked, content, strict=False)) if a != b), min(len(unpacked), len(content)))
        raise Invalid(f"{name}: {len(content)} bytes came back as {len(unpacked)}, which differ from byte {at} on")
    return packed
