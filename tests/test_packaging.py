import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
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


@pytest.mark.slow
def test_the_wheel_holds_one_import_name_and_every_task_file(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".venv*", "build", ".git", "*.egg-info", "demo-result"))
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"evolve", "evolve_platform"}
    assert {
        "evolve/py.typed",
        "evolve/evaluators/moe/corpus/pack.xz",
        "evolve/evaluators/moe/corpus/PSF-LICENSE.txt",
        "evolve/tasks/circle_packing/task.toml",
        "evolve/tasks/circle_packing/attacks/nan_centers.py",
        "evolve/tasks/lossless_compression/reference.cpp",
    } <= set(names)
    assert not [name for name in names if "__pycache__" in name or name.startswith("evolve/tests")]


def test_no_two_modules_of_the_tests_have_one_name():
    # Their folders are no packages: of two with one name, whichever is imported first is what both are taken for.
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name not in ("__init__.py", "conftest.py"))
    assert [name for name, count in names.items() if count > 1] == []
