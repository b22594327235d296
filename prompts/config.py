"""What a run may set about its prompts."""

from __future__ import annotations

from dataclasses import dataclass

from evolve.prompts.fencing import LEAST_CHARS


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """What prompts hold.

    Attributes:
        templates: Folder whose templates replace the built-in ones and the task's, file by file; None for none. A run's
            configuration holds its absolute path.
        max_tokens: Longest prompt, as far as the model's context allows it.
        n_failures: Failed children of the parent that are shown.
        feedback_chars: How much is shown of what evaluators and programs say about the parent; failed children get half.
        brief: Whether prompts are short and plain, for small models; None decides it for each model.
    """

    templates: str | None = None
    max_tokens: int = 24_000
    n_failures: int = 2
    feedback_chars: int = 2000
    brief: bool | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be >= 1, got {self.max_tokens}")
        if self.n_failures < 0:
            raise ValueError(f"n_failures must be >= 0, got {self.n_failures}")
        if self.feedback_chars < 2 * LEAST_CHARS:
            raise ValueError(f"feedback_chars must be >= {2 * LEAST_CHARS}, got {self.feedback_chars}")
