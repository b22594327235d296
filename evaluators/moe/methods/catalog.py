"""Which balancing methods there are, where each was published, and what it needs; imports neither torch nor the methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from evolve.errors import nearest_hint
from evolve.evaluators.moe.vocabulary import HOOKS, hooks_of

_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Method:
    """One published balancing method.

    Attributes:
        name: The file's name without its ending; also the name of the baseline.
        title: What it is called in tables and figures.
        source: Who published it and where (not the program's text: that is `source_of`).
        unequal: Needs experts of unequal cost to show anything; with equal ones it is measured on the wrong ground.
        leaks: Lets tokens see later ones, so that its cross-entropy means nothing; must fail the causality guard.
        extra_compute: Spends more active compute than the model's k experts per token, which is charged.
    """

    name: str
    title: str
    source: str
    unequal: bool = False
    leaks: bool = False
    extra_compute: bool = False

    @property
    def hooks(self) -> tuple[str, ...]:
        """Hooks that the program defines, in the order of `vocabulary.HOOKS`; the others are the trainer's defaults."""
        defined = hooks_of(source_of(self.name))
        return tuple(hook for hook in HOOKS if hook in defined)


_ALF = "Han & Zhong 2025, arXiv 2512.03915"
_SIGMA = "Sigma-MoE-Tiny 2025, arXiv 2512.16248"
_SHINKA = "Lange et al. 2025, arXiv 2509.19349, section 4.4"

_ALL = (
    Method("none", "No balancing", "Shazeer et al. 2017, arXiv 1701.06538, without its losses"),
    Method("switch", "GShard / Switch loss", "Lepikhin et al. 2020, arXiv 2006.16668; Fedus et al. 2021, arXiv 2101.03961"),
    Method("z_loss", "Switch and router z-loss", "Zoph et al. 2022, arXiv 2202.08906"),
    Method("global_batch", "Global-batch loss", "Qiu et al. 2025, arXiv 2501.11873"),
    Method("loss_free", "Loss-free (sign of the lack)", "Wang et al. 2024, arXiv 2408.15664"),
    Method("alf_const", "ALF-LB, constant rate", _ALF),
    Method("alf_sign", "ALF-LB, sign", _ALF),
    Method("alf_sqrt", "ALF-LB, rate / sqrt(n)", _ALF),
    Method("alf_inverse", "ALF-LB, rate / n", _ALF),
    Method("deepseek_v3", "DeepSeek-V3 router", "DeepSeek-AI 2024, arXiv 2412.19437"),
    Method("pangu_moge", "Pangu MoGE (grouped experts)", "Tang et al. 2025, arXiv 2505.21411"),
    Method("sigma_top1", "Sigma Top-1 loss", _SIGMA),
    Method("sigma_schedule", "Sigma progressive sparsification", _SIGMA, extra_compute=True),
    Method("adamoe", "AdaMoE (null experts)", "Zeng et al. 2024, arXiv 2406.13233"),
    Method("moduleformer", "ModuleFormer (mutual information)", "Shen et al. 2023, arXiv 2306.04640"),
    Method("shiftadd_latency", "ShiftAddViT latency-aware loss", "You et al. 2023, arXiv 2306.06446", unequal=True),
    Method("astrea_calibration", "Astrea contribution calibration", "Yang et al. 2025, arXiv 2503.09445", unequal=True),
    Method("shinka_found_literal", "ShinkaEvolve's loss, as printed", _SHINKA),
    Method("shinka_found_ste", "ShinkaEvolve's loss, straight-through", _SHINKA),
    Method("shinka_found_literal_064", "ShinkaEvolve's loss, as printed, floor 0.64 / E", _SHINKA),
    Method("shinka_found_ste_064", "ShinkaEvolve's loss, straight-through, floor 0.64 / E", _SHINKA),
    Method("quantile", "Quantile balancing", "Su 2026, kexue.fm/archives/11619"),
    Method("phi", "phi-balancing", "Chen et al. 2026, arXiv 2605.15403"),
    Method("expert_choice", "Expert choice (diagnostic)", "Zhou et al. 2022, arXiv 2202.09368", leaks=True),
)

#: All methods by name, in the order of tables.
METHODS: Mapping[str, Method] = MappingProxyType({method.name: method for method in _ALL})


def path_of(name: str) -> Path:
    """Where a method's program lies.

    Raises:
        ValueError: If no method has that name.
    """
    if name not in METHODS:
        raise ValueError(f"no balancing method is called {name!r}; {nearest_hint(name, list(METHODS))}")
    return _FOLDER / f"{name}.py"


def source_of(name: str) -> str:
    """Reads the text of a method's program, as the sandbox runs it.

    Raises:
        ValueError: If no method has that name.
    """
    return path_of(name).read_text(encoding="utf-8")
