"""The six domains, and how each comes to its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from evolve.errors import nearest_hint
from evolve.evaluators.moe.corpus import generated, splitmix
from evolve.evaluators.moe.corpus.batches import Corpus, DomainText
from evolve.evaluators.moe.corpus.cipher import encipher
from evolve.evaluators.moe.corpus.pack import SplitText, read_pack

#: Modules of CPython's library without their docstrings; the docstrings; these enciphered; and three generated ones.
DOMAINS = ("code", "prose", "cipher", "arithmetic", "records", "brackets")

_GENERATED = MappingProxyType(
    {"arithmetic": generated.arithmetic, "records": generated.records, "brackets": generated.brackets},
)


def load_corpus(domains: Sequence[str] = DOMAINS) -> Corpus:
    """Loads domains: reads the frozen pack where one of them needs it, and generates the others.

    Args:
        domains: Some of `DOMAINS`, each once; batches number them in this order.

    Raises:
        ValueError: If there is none, or one is unknown or named twice.
        EvolveError: If the frozen pack is missing or not the one that belongs to this version.
    """
    for name in domains:
        _known(name)
    if not domains or len(set(domains)) < len(domains):
        raise ValueError(f"domains must be at least one, each once, got {list(domains)}")
    frozen = read_pack().texts if set(domains) - set(_GENERATED) else {}
    return Corpus(MappingProxyType({name: _text(name, frozen) for name in domains}))


def entropy_floor(domain: str) -> float | None:
    """Returns the nats per byte that no model can be below on a domain's text, on average; None where nobody knows them.

    The entropy of a generated document over its mean length, both computed from the distributions of the draws that make it; see
    `generated`. A model comes near it only with a context of whole documents, and knowing where they begin. Of code and prose the
    entropy is unknown, and the cipher has the prose's.

    Raises:
        ValueError: If the domain is unknown.
    """
    _known(domain)
    return _GENERATED[domain]().entropy if domain in _GENERATED else None


def _known(domain: str) -> None:
    if domain not in DOMAINS:
        raise ValueError(f"unknown domain {domain!r}; {nearest_hint(domain, list(DOMAINS))}")


def _text(domain: str, frozen: Mapping[str, SplitText]) -> DomainText:
    if domain in _GENERATED:
        training, held_out = _generated(domain)
    elif domain == "cipher":
        training, held_out = (encipher(part) for part in frozen["prose"])
    else:
        training, held_out = frozen[domain]
    return DomainText(np.frombuffer(training, dtype=np.uint8), np.frombuffer(held_out, dtype=np.uint8))


def _generated(domain: str) -> SplitText:
    """Writes documents 0 to DOCUMENTS − 1; the last tenth is held out."""
    seeds = splitmix.stream(splitmix.key("documents", domain), generated.DOCUMENTS)
    write = _GENERATED[domain]().write
    trained_on = generated.DOCUMENTS * 9 // 10
    return SplitText(write(seeds[:trained_on]), write(seeds[trained_on:]))
