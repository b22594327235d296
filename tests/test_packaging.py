import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_package_on_disk_is_listed():
    on_disk = {
        ".".join([name, *init.parent.relative_to(ROOT / folder).parts])
        for name, folder in SETUPTOOLS["package-dir"].items()
        for init in (ROOT / folder).rglob("__init__.py")
    }
    assert on_disk == set(SETUPTOOLS["packages"])


@pytest.mark.parametrize("name", ["archive", "evaluators", "tasks"])
def test_mapped_folders_cannot_be_imported_by_their_bare_name(name):
    answer = subprocess.run([sys.executable, "-I", "-c", f"import {name}"], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError" in answer.stderr


def test_importing_evolve_brings_in_nothing_heavy():
    heavy = ["numpy", "sklearn", "sqlalchemy", "torch", "ray", "litellm", "openai", "anthropic", "matplotlib", "rich", "typer"]
    code = f"import sys, evolve; print([name for name in {heavy!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_help_brings_in_nothing_heavy():
    heavy = ["numpy", "sklearn", "sqlalchemy", "matplotlib", "rich"]
    code = (
        "import sys\nfrom evolve.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip().endswith("[]")


def test_bundled_tasks_ship_with_every_file():
    from importlib.resources import files

    folder = Path(str(files("evolve.tasks"))) / "circle_packing"
    assert {"task.toml", "initial.py", "evaluate.py", "background.md"} <= {path.name for path in folder.iterdir()}
