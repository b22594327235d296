"""What the lab's models read: bytes of six domains, the same on every machine.

`load_corpus` returns a `Corpus`, which cuts training batches and held-out sequences. Code and prose come from a frozen pack
(`pack`, made by `freeze`; licence and contents: ``PROVENANCE.md``), the cipher is the prose in other bytes (`cipher`), and
arithmetic, records and brackets are written from drawn integers (`generated`, `splitmix`), with an entropy that is known
(`entropy_floor`). A tenth of each domain's documents is held out: other modules of the library, other document numbers.

Not covered: text in other languages than English, bytes that are no ASCII outside the cipher, anything that a model should know.
"""

from evolve.evaluators.moe.corpus.batches import Batch, Corpus, DomainText
from evolve.evaluators.moe.corpus.loading import DOMAINS, entropy_floor, load_corpus

__all__ = ["DOMAINS", "Batch", "Corpus", "DomainText", "entropy_floor", "load_corpus"]
