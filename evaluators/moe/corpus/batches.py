"""Batches of bytes: windows of a domain's text, cut where the seed and the step say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from evolve.errors import nearest_hint
from evolve.evaluators.moe.corpus import splitmix


class Batch(NamedTuple):
    """What one training step reads.

    Attributes:
        tokens: ``(micro_batches * sequences, length + 1)`` uint8, micro-batch by micro-batch; the last column is only predicted.
        domains: ``(micro_batches,)`` int64, each micro-batch's domain as its place in `Corpus.domains`.
    """

    tokens: np.ndarray
    domains: np.ndarray


class DomainText(NamedTuple):
    """One domain's documents, one after another, each followed by a zero byte; both arrays are uint8 and cannot be written to.

    Attributes:
        training: What batches are cut from.
        held_out: Documents that batches never see.
    """

    training: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, slots=True)
class Corpus:
    """Texts of several domains; nothing in it changes, and what it returns depends on the arguments alone.

    Attributes:
        texts: Text by domain, in the order that batches number them in.
    """

    texts: Mapping[str, DomainText]

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains, in the order that batches number them in."""
        return tuple(self.texts)

    def train_batch(
        self, seed: int, step: int, *, micro_batches: int, sequences: int, length: int, weights: Mapping[str, float] | None = None
    ) -> Batch:
        """Cuts the batch of one step: every micro-batch from the training text of one domain.

        Without weights, every run of as many micro-batches as there are domains, counted from step 0 on, has each domain once,
        in an order drawn for it; a domain's share is then the same in all runs, whatever their seeds.

        Args:
            seed: The run's seed, >= 0.
            step: Step of the training, >= 0.
            micro_batches: Micro-batches of a step; the same in all steps of a run.
            sequences: Sequences of each micro-batch.
            length: Bytes that a sequence predicts; it has one more.
            weights: A domain's share relative to the others'; domains that it does not name have none. Each step then has a
                domain as often as its share says, rounded up or down by chance (systematic sampling: Madow & Madow 1944).

        Raises:
            ValueError: If a number is out of range, a text is shorter than a sequence, or the weights name an unknown domain,
                are negative, or are all zero.
        """
        if min(seed, step) < 0 or min(micro_batches, sequences, length) < 1:
            raise ValueError(
                "seed and step must be >= 0, micro_batches, sequences and length >= 1, got "
                f"{seed}, {step}, {micro_batches}, {sequences} and {length}"
            )
        if weights is None:
            domains = self._in_turn(seed, step, micro_batches)
        else:
            domains = self._weighted(seed, step, micro_batches, weights)
        drawn = splitmix.stream(splitmix.key("windows", seed, step), micro_batches * sequences).reshape(micro_batches, sequences)
        texts = list(self.texts.values())
        tokens = [_windows(texts[domain].training, row, length) for domain, row in zip(domains.tolist(), drawn, strict=True)]
        return Batch(np.concatenate(tokens), domains)

    def held_out(self, domain: str, sequences: int, length: int) -> np.ndarray:
        """Returns sequences of a domain's held-out text: always the same, evenly spread over it, and without overlap.

        Args:
            domain: One of `domains`.
            sequences: At least 1.
            length: Bytes that a sequence predicts; it has one more.

        Returns:
            ``(sequences, length + 1)`` uint8.

        Raises:
            ValueError: If the domain is unknown or its held-out text too short for so many sequences.
        """
        if domain not in self.texts:
            raise ValueError(f"unknown domain {domain!r}; {nearest_hint(domain, list(self.texts))}")
        text = self.texts[domain].held_out
        most = len(text) // (length + 1) if length >= 1 else 0
        if not 1 <= sequences <= most:
            raise ValueError(
                f"{domain} holds {len(text)} bytes out, which is {most} sequences of {length + 1} bytes: "
                f"asked for {sequences}; ask for fewer or shorter ones"
            )
        starts = np.arange(sequences) * (len(text) // sequences)
        cut: np.ndarray = text[starts[:, None] + np.arange(length + 1)]
        return cut

    def _in_turn(self, seed: int, step: int, micro_batches: int) -> np.ndarray:
        count = len(self.texts)
        places = np.arange(step * micro_batches, (step + 1) * micro_batches)
        rounds = {
            number: splitmix.permutation(splitmix.key("domains", seed, number), count) for number in set((places // count).tolist())
        }
        return np.array([rounds[place // count][place % count] for place in places.tolist()], dtype=np.int64)

    def _weighted(self, seed: int, step: int, micro_batches: int, weights: Mapping[str, float]) -> np.ndarray:
        for name in weights:
            if name not in self.texts:
                raise ValueError(f"weights name an unknown domain {name!r}; {nearest_hint(name, list(self.texts))}")
        shares = np.array([weights.get(name, 0.0) for name in self.texts], dtype=np.float64)
        if not np.isfinite(shares).all() or shares.min() < 0 or shares.sum() <= 0:
            raise ValueError(f"weights must be finite, >= 0 and not all zero, got {dict(weights)}")
        ends = np.cumsum(shares)
        ends[shares.nonzero()[0][-1] :] = np.inf  # rounding must not leave the last place to nobody
        drawn = splitmix.stream(splitmix.key("mixture", seed, step), micro_batches + 1)
        offset = int(drawn[0] >> np.uint64(11)) / 2**53
        places = (np.arange(micro_batches) + offset) / micro_batches * shares.sum()
        chosen = np.searchsorted(ends, places, side="right")
        shuffled: np.ndarray = chosen[np.argsort(drawn[1:], kind="stable")]
        return shuffled.astype(np.int64)


def _windows(text: np.ndarray, drawn: np.ndarray, length: int) -> np.ndarray:
    """Cuts one window for each drawn word: ``(n, length + 1)`` bytes."""
    if len(text) <= length:
        raise ValueError(f"a text of {len(text)} bytes has no sequence of {length + 1} bytes; ask for shorter ones")
    windows = np.lib.stride_tricks.sliding_window_view(text, length + 1)
    cut: np.ndarray = windows[splitmix.below(drawn, len(windows))]
    return cut
