import ast
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evolve.baselines.programs import select
from evolve.evaluators.placement import catalog
from evolve.evaluators.placement.catalog import ENTRIES, FORECASTERS, POLICIES, modules_of, source
from evolve.tasks.base import load


def write_task(folder, modules):
    folder.mkdir()
    (folder / "initial.py").write_text("def answer():\n    return 0.0\n")
    (folder / "evaluate.py").write_text("def evaluate(program):\n    return program.call('answer')\n")
    (folder / "task.toml").write_text(
        f'name = "joined"\nprogram = ["initial.py"]\n[[baselines]]\nname = "one"\nmodules = {list(modules)}\n'
    )


KINDS = {"policies": POLICIES, "forecasters": FORECASTERS, "entries": ENTRIES}
PARTS = [(kind, name) for kind, known in KINDS.items() for name in known]
ALLOWED = {"numpy", "collections.abc", "scipy.optimize"}


def text_of(kind, name):
    return (Path(catalog.__file__).parent / kind / f"{name}.py").read_text()


def bound(kind, name):
    """Names that a part's top level gives a value, imports apart."""
    found = set()
    for node in ast.parse(text_of(kind, name)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            found.add(ast.unparse(node.target))
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_listed_under_its_name(kind):
    folder = Path(catalog.__file__).parent / kind
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(KINDS[kind])
    assert all(name == part.name for name, part in KINDS[kind].items())


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_a_part_stands_alone_and_does_nothing_at_import(kind, name):
    for node in ast.walk(ast.parse(text_of(kind, name))):
        if isinstance(node, ast.Import):
            assert {alias.name for alias in node.names} <= ALLOWED
        elif isinstance(node, ast.ImportFrom):
            assert node.module in ALLOWED
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assign, ast.AnnAssign)
    _, *rest = ast.parse(text_of(kind, name)).body
    assert all(isinstance(node, allowed) for node in rest)


@pytest.mark.parametrize(("kind", "name"), [part for part in PARTS if part[0] != "entries"])
def test_a_part_says_where_it_was_published(kind, name):
    text = ast.get_docstring(ast.parse(text_of(kind, name)))
    for word in re.findall(r"\d{4}\.\d{5}|github\.com/[\w-]+/\w+|[A-Z][a-z]+ (?=19\d\d)", KINDS[kind][name].source):
        assert word in text or kind == "forecasters"


def test_parts_of_different_kinds_share_no_names():
    for first, second in itertools.combinations(PARTS, 2):
        if first[0] != second[0]:
            assert not bound(*first) & bound(*second), (first, second)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_defines_what_the_task_calls(name):
    assert ENTRIES[name].function in bound("entries", name)
    assert ENTRIES[name].forecasts == ("forecast(" in text_of("entries", name))


def test_modules_are_the_files_whose_text_is_the_program():
    assert modules_of("snake", "ema") == tuple(
        f"evolve.evaluators.placement.{part}" for part in ("policies.snake", "forecasters.ema", "entries.plan")
    )
    assert modules_of("snake", "ema", "rebalance")[1:] == ("evolve.evaluators.placement.entries.rebalance",)


@pytest.mark.parametrize("parts", [("snake", "ar1", "plan"), ("thue_morse", "ema", "rebalance")])
def test_a_baseline_of_these_modules_is_the_catalogs_program(parts, tmp_path):
    write_task(tmp_path / "task", modules_of(*parts))
    (program,) = select(load(tmp_path / "task", "folder")).programs
    assert program.files == {"initial.py": source(*parts)}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("snak",), "no policy of placements is called 'snak'; did you mean 'snake'"),
        (("snake", "emma"), "no forecaster of placements is called 'emma'; did you mean 'ema'"),
        (("snake", "ema", "planing"), "no entry of placements is called 'planing'; did you mean 'plan'"),
    ],
)
def test_an_unknown_part_is_refused_with_the_nearest_one(parts, words):
    with pytest.raises(ValueError, match=words):
        source(*parts)


def test_listing_the_parts_imports_none_of_them():
    code = (
        "import sys\nfrom evolve.evaluators.placement import catalog\ncatalog.source('minimum_migration')\n"
        "print([name for name in sys.modules if 'scipy' in name or 'placement.' in name and 'catalog' not in name])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
