"""Stands in for the classes that evaluators of OpenEvolve and SkyDiscover import, so that neither need be installed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class EvaluationResult:
    """Metrics for selection, and artifacts for the next prompt."""

    metrics: dict[str, Any]  # Any: numbers by contract, text in practice
    artifacts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, metrics: dict[str, Any]) -> EvaluationResult:
        """Makes a result without artifacts."""
        return cls(metrics=metrics)

    def to_dict(self) -> dict[str, Any]:
        """Returns the metrics alone."""
        return self.metrics

    def has_artifacts(self) -> bool:
        """Whether there is any artifact."""
        return bool(self.artifacts)

    def get_artifact_keys(self) -> list[str]:
        """Lists the artifacts' names."""
        return list(self.artifacts)

    def get_artifact_size(self, key: str) -> int:
        """Returns an artifact's size in bytes, 0 if there is none of that name."""
        value = self.artifacts.get(key, b"")
        return len(value if isinstance(value, bytes) else str(value).encode())

    def get_total_artifact_size(self) -> int:
        """Returns the size of all artifacts in bytes."""
        return sum(self.get_artifact_size(key) for key in self.artifacts)
