"""Which policies, forecasters and entries there are, where each was published, and the programs they make; imports none of them.

A program is the text of a policy, of a forecaster where its entry asks for one, and of the entry, one after the other. A
task names the same files as ``modules`` of a baseline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from evolve.errors import nearest_hint

_FOLDER = Path(__file__).parent
_PACKAGE = "evolve.evaluators.placement"


@dataclass(frozen=True, slots=True)
class Policy:
    """One way to place experts for a given load.

    Attributes:
        name: The file's name without its ending.
        title: What it is called in tables and figures.
        source: Who published it and where.
        grouped: Keeps the replicas of a group of experts on one node wherever the groups divide evenly over the nodes.
        migrates: Looks at the placement in force; the others place as if there were none.
    """

    name: str
    title: str
    source: str
    grouped: bool = False
    migrates: bool = False


@dataclass(frozen=True, slots=True)
class Forecaster:
    """One way to tell the next window's load.

    Attributes:
        name: The file's name without its ending.
        title: What it is called in tables and figures.
        source: Who published it and where.
    """

    name: str
    title: str
    source: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What a task calls.

    Attributes:
        name: The file's name without its ending.
        function: The function that the task calls.
        forecasts: Whether it needs a forecaster.
    """

    name: str
    function: str
    forecasts: bool


_EPLB = "DeepSeek-AI 2025, github.com/deepseek-ai/EPLB"
_ADRS = "Cheng et al. 2025, arXiv 2510.06189"

#: All policies by name, in the order of tables.
POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        policy.name: policy
        for policy in (
            Policy("none", "No balancing", "experts in their order"),
            Policy("random", "Random", "by chance, the same at every call"),
            Policy("deepseek_hierarchical", "DeepSeek, hierarchical", _EPLB, grouped=True),
            Policy("deepseek_global", "DeepSeek, global", _EPLB),
            Policy("snake", "Snake (OpenEvolve)", _ADRS, grouped=True),
            Policy("thue_morse", "Thue-Morse (ShinkaEvolve)", "Lange et al. 2025, arXiv 2509.19349", grouped=True),
            Policy("round_lpt", "LPT in rounds (GEPA)", "Agrawal et al. 2025, arXiv 2507.19457"),
            Policy("lpt_local_search", "LPT and swaps", "Graham 1969; Finn & Horowitz 1979"),
            Policy("minimum_migration", "DeepSeek, global, least migration", f"{_EPLB}; Kuhn 1955", migrates=True),
            Policy(
                "minimum_migration_grouped",
                "DeepSeek, hierarchical, least migration",
                f"{_EPLB}; Kuhn 1955",
                grouped=True,
                migrates=True,
            ),
        )
    }
)

#: All forecasters by name, in the order of tables.
FORECASTERS: Mapping[str, Forecaster] = MappingProxyType(
    {
        forecaster.name: forecaster
        for forecaster in (
            Forecaster("last_window", "Last window", _EPLB),
            Forecaster("ema", "Moving average", "Brown 1956"),
            Forecaster("ar1", "AR(1) of logarithms", "Yule 1927; Kendall 1954"),
        )
    }
)

#: All entries by name.
ENTRIES: Mapping[str, Entry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (Entry("plan", "plan", forecasts=True), Entry("rebalance", "rebalance_experts", forecasts=False))
    }
)


def modules_of(policy: str, forecaster: str = "last_window", entry: str = "plan") -> tuple[str, ...]:
    """Names the modules whose text, in this order, is a program; they are for reading, not for importing.

    Args:
        policy: One of `POLICIES`.
        forecaster: One of `FORECASTERS`; left out where the entry needs none.
        entry: One of `ENTRIES`.

    Raises:
        ValueError: If there is no part of that name.
    """
    _check("policy", policy, POLICIES)
    _check("forecaster", forecaster, FORECASTERS)
    _check("entry", entry, ENTRIES)
    between = (f"{_PACKAGE}.forecasters.{forecaster}",) if ENTRIES[entry].forecasts else ()
    return (f"{_PACKAGE}.policies.{policy}", *between, f"{_PACKAGE}.entries.{entry}")


def source(policy: str, forecaster: str = "last_window", entry: str = "plan") -> str:
    """Reads the text of the program that a policy, a forecaster and an entry make.

    Args:
        policy: One of `POLICIES`.
        forecaster: One of `FORECASTERS`; left out where the entry needs none.
        entry: One of `ENTRIES`.

    Raises:
        ValueError: If there is no part of that name.
    """
    names = (module.removeprefix(f"{_PACKAGE}.").replace(".", "/") for module in modules_of(policy, forecaster, entry))
    return "\n\n".join((_FOLDER / f"{name}.py").read_text(encoding="utf-8") for name in names)


def _check(kind: str, name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise ValueError(f"no {kind} of placements is called {name!r}; {nearest_hint(name, list(known))}")
