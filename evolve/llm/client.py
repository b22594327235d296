"""What the clients of providers' SDKs share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection

from evolve.llm.base import Completion, ModelRequest
from evolve.llm.faults import guarded
from evolve.llm.specs import ModelSpec


class Client(ABC):
    """A `LanguageModel` that lets nothing out but `CallFailed`, and no key in it; a subclass asks and closes."""

    def __init__(self, spec: ModelSpec, secrets: Collection[str]) -> None:
        """Keeps what every client needs.

        Args:
            spec: The model and how it is asked.
            secrets: What is cut out of every message.
        """
        self._spec = spec
        self._secrets = secrets

    @property
    def name(self) -> str:
        return self._spec.name

    async def complete(self, request: ModelRequest) -> Completion:
        return await guarded(self._spec, self._secrets, self._ask(request))

    @abstractmethod
    async def _ask(self, request: ModelRequest) -> Completion:
        """Asks once; raises whatever the SDK raises."""

    @abstractmethod
    async def close(self) -> None: ...
