"""Embeds programs by a sentence-transformers model on this machine; an optional package, imported when a model is loaded."""

from __future__ import annotations

import importlib.util

import numpy as np

from evolve.errors import ConfigError
from evolve.llm.chunks import pieces, pooled, text_of
from evolve.program import Files

#: What a SPEC begins with.
PROVIDER = "sentence-transformers"
#: The longest piece, where a model does not say how many tokens it takes, or takes so many that memory would be the limit.
_MOST_TOKENS = 2048
#: Tokens that a model adds around a text: of its beginning and its end.
_FRAME = 2


def check_sentences(spec: str) -> None:
    """Refuses a SPEC where the package is missing.

    Raises:
        ConfigError: If it is; the message names the extra.
    """
    if importlib.util.find_spec("sentence_transformers") is None:
        raise ConfigError(
            f"novelty.embedder: {spec} needs the package sentence-transformers, which is not installed: "
            "pip install 'evolve-platform[embed]'"
        )


class SentenceEmbedder:
    """An `evolve.archive.embeddings.Embedder` by a sentence-transformers model.

    Longer texts than the model takes are cut between lines by the model's own tokenizer. One call at a time.
    """

    def __init__(self, model: str) -> None:
        """Loads the model, which takes seconds; it is fetched from its hub where it is neither a folder nor there already.

        Args:
            model: A model's name, or its folder.

        Raises:
            ConfigError: If it cannot be loaded.
        """
        check_sentences(f"{PROVIDER}/{model}")
        import torch  # which the package brings along, with a dozen others
        from sentence_transformers import SentenceTransformer

        # Beside evaluations that keep the processors busy, threads that wait for one another took 14 times as long as one does.
        torch.set_num_threads(1)
        try:
            self._model = SentenceTransformer(model)
        except Exception as error:  # whatever the package, torch or the hub raise
            raise ConfigError(
                f"novelty.embedder: the model {model!r} cannot be loaded: {error}; name a folder that holds one, or a model of "
                "the hub that this machine can reach"
            ) from error
        own = self._model.max_seq_length
        self._limit = max(1, (min(own, _MOST_TOKENS) if own else _MOST_TOKENS) - _FRAME)

    def embed(self, files: Files) -> np.ndarray:
        cut = pieces(text_of(files), self._limit, self._tokens)
        # One piece after the other: in a batch a piece is padded to the longest, which changes the last digits.
        vectors = [np.asarray(self._model.encode(piece, show_progress_bar=False), np.float32) for piece in cut]
        return pooled(vectors, [len(piece) for piece in cut])

    def _tokens(self, text: str) -> int:
        return len(self._model.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
