"""Imports go downward only; siblings on a line do not import each other (design: the layers)."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Top to bottom. Names on one line are siblings; a name covers its submodules.
LAYERS = [
    ["evolve.cli", "evolve.testing"],
    ["evolve.baselines"],
    ["evolve.comparing"],
    ["evolve.api"],
    ["evolve.checks", "evolve.drafting", "evolve.takeaway", "evolve.replaying", "evolve.rescoring"],
    ["evolve.session", "evolve.recording"],
    ["evolve.limiting"],
    [
        "evolve.provenance",
        "evolve.arms",
        "evolve.ledger",
        "evolve.draft_journal",
        "evolve.starting",
        "evolve.strategies",
        "evolve.interrupts",
        "evolve.closing",
    ],
    ["evolve.maker"],
    ["evolve.config"],
    ["evolve.loop"],
    ["evolve.opening", "evolve.noting"],
    ["evolve.stages", "evolve.insight"],
    ["evolve.embedding", "evolve.judging"],
    ["evolve.vectors"],
    [
        *("evolve.search", "evolve.ordering", "evolve.outages", "evolve.proposer", "evolve.executors", "evolve.verifying"),
        *("evolve.calibration", "evolve.resemblance"),
    ],
    ["evolve.strength"],
    ["evolve.mutators", "evolve.tasks"],
    ["evolve.prompts"],
    ["evolve.llm", "evolve.notation"],
    ["evolve.archive", "evolve.bandits", "evolve.budget", "evolve.edits", "evolve.evaluators", "evolve.plugins"],
    [
        "evolve.settings",
        "evolve.gate",
        "evolve.artifacts",
        "evolve.diffing",
        "evolve.rendering",
        "evolve.mutation",
        "evolve.progress",
        "evolve.intervals",
        "evolve.labels",
        "evolve.significance",
    ],
    ["evolve.program", "evolve.rng"],
    ["evolve.limits", "evolve.companions"],
    ["evolve.errors"],
]


def modules() -> Iterator[tuple[str, Path]]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    for package, folder in table.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            # Task folders are content: they hold programs and evaluators, not modules.
            if package == "evolve.tasks" and len(parts) > 1:
                continue
            yield ".".join([package, *(part for part in parts if part != "__init__")]), path


def home(module: str) -> tuple[int, str] | None:
    """Layer and covering name of a module; None for the package itself, which resolves names lazily."""
    if module == "evolve":
        return None
    for depth, names in enumerate(LAYERS):
        for name in names:
            if module == name or module.startswith(name + "."):
                return depth, name
    raise AssertionError(f"{module} belongs to no layer")


def imported(path: Path) -> Iterator[str]:
    """Modules of ours that a file imports, also inside functions: those hide cycles, they do not remove them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "evolve")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "evolve":
            assert node.level == 0
            if node.module == "evolve":
                yield from (f"evolve.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_every_module_belongs_to_a_layer():
    assert [module for module, _ in modules() if module != "evolve" and home(module) is None] == []


def test_imports_go_downward_only():
    wrong = []
    for module, path in modules():
        here = home(module)
        for name in imported(path) if here is not None else ():
            there = home(name)
            if there is None or there[1] == here[1]:
                continue
            if there[0] <= here[0]:
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_the_check_sees_an_import_inside_a_function(tmp_path):
    file = tmp_path / "one.py"
    file.write_text("def f():\n    from evolve.cli import main\n    import evolve.loop\n")
    assert list(imported(file)) == ["evolve.cli", "evolve.loop"]
