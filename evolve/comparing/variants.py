"""What is compared: strategies, each with settings of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evolve.errors import ConfigError, nearest_hint
from evolve.settings import assign
from evolve.strategies import strategy_names

_SPEC = re.compile(r"(?P<strategy>[^\[\]\s]+)\s*(?:\[(?P<settings>.*)\])?", re.DOTALL)

#: Settings in which compared runs never differ, and the options of `evolve compare` that they are.
_SHARED = {"seed": "--seeds", "steps": "--steps", "budget_usd": "--budget-usd", "max_seconds": "--max-seconds"}


@dataclass(frozen=True, slots=True)
class Variant:
    """A strategy with settings.

    Attributes:
        strategy: Its name.
        settings: ``dotted.key=value`` texts, laid over what all variants of a comparison share.
    """

    strategy: str
    settings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What tables and the names of its runs call it: the SPEC without blanks that mean nothing."""
        return f"{self.strategy}[{','.join(self.settings)}]" if self.settings else self.strategy

    @property
    def table(self) -> dict[str, Any]:  # Any: TOML values
        """Its settings, nested as in a TOML file."""
        table: dict[str, Any] = {}
        for setting in self.settings:
            assign(table, setting)
        return table


def parse_variant(text: str) -> Variant:
    """Reads a SPEC.

    Args:
        text: ``STRATEGY`` or ``STRATEGY[key=value,...]``, such as ``default[novelty.max_similarity=0.99]``; values are TOML,
            and a comma within brackets, braces or quotes belongs to its value.

    Raises:
        ConfigError: If it is malformed, no strategy goes by that name, or a setting belongs to the whole comparison. Whether the
            settings are known and right is found out when they are laid over a configuration.
    """
    found = _SPEC.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"strategy {text!r} is not NAME or NAME[key=value,...], such as default[novelty.max_similarity=0.99]")
    strategy = found["strategy"]
    if strategy not in strategy_names():
        raise ConfigError(f"unknown strategy {strategy!r}; {nearest_hint(strategy, strategy_names())}")
    return Variant(strategy, tuple(_setting(item, text) for item in _items(found["settings"] or "")))


def parse_variants(texts: Sequence[str]) -> list[Variant]:
    """Reads several SPECs; none at all is every strategy there is.

    Raises:
        ConfigError: If one is refused, or two are the same.
    """
    variants = [parse_variant(text) for text in texts or strategy_names()]
    labels = [variant.label for variant in variants]
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ConfigError(f"strategy {twice!r} is named twice; to compare it with itself would say nothing")
    return variants


def _setting(item: str, text: str) -> str:
    """Checks one setting and writes it without blanks around its parts."""
    key, found, value = (part.strip() for part in item.partition("="))
    if not found or not key or not value:
        raise ConfigError(f"strategy {text!r}: {item!r} is not key=value")
    if key in _SHARED:
        raise ConfigError(f"strategy {text!r}: {key} is the same for all that is compared; give it by {_SHARED[key]}")
    if key == "strategy":
        raise ConfigError(f"strategy {text!r}: write the other strategy's name before the brackets")
    return f"{key}={value}"


def _items(text: str) -> Iterator[str]:
    """Splits at the commas that stand in no brackets, braces or quotes; yields no empty items."""
    depth, quote, item = 0, "", ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        depth += 0 if quote else (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quote:
            if item.strip():
                yield item.strip()
            item = ""
        else:
            item += character
    if item.strip():
        yield item.strip()
