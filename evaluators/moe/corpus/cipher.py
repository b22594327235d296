"""Prose under another alphabet: the same language in bytes that no other domain uses.

A simple substitution keeps every statistic of the text, so a model finds the same structure twice and whatever tells the two
apart is in the bytes alone.
"""

from __future__ import annotations

import numpy as np

from evolve.evaluators.moe.corpus import splitmix


def encipher(prose: bytes) -> bytes:
    """Replaces every ASCII byte by one of 128 to 255, each by the same one everywhere; 0, which ends documents, stays.

    Args:
        prose: ASCII.

    Raises:
        ValueError: If a byte is not ASCII.
    """
    if not prose.isascii():
        raise ValueError("only ASCII can be enciphered: bytes from 128 on are the other alphabet")
    return prose.translate(_alphabet())


def decipher(text: bytes) -> bytes:
    """Undoes `encipher`."""
    return text.translate(bytes(np.argsort(np.frombuffer(_alphabet(), dtype=np.uint8), kind="stable").astype(np.uint8)))


def _alphabet() -> bytes:
    """Where each of the 256 bytes goes: a permutation, so that `decipher` is its inverse."""
    others = splitmix.permutation(splitmix.key("cipher"), 128) + 128
    table = np.concatenate([others, np.arange(128)])
    table[0], table[128] = 0, others[0]  # byte 128 went to 0
    return table.astype(np.uint8).tobytes()
