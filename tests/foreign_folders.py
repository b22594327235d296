"""Task folders in other frameworks' formats, written for these tests."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

PROGRAM = """\
# EVOLVE-BLOCK-START
def where():
    return 1.0
# EVOLVE-BLOCK-END
"""

LOAD = """\
import importlib.util

def load(path):
    spec = importlib.util.spec_from_file_location("program", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
"""

SHINKA = """\
import argparse
from shinka.core import run_shinka_eval

def keywords(index):
    return {}

def validate(x):
    return (abs(x) <= 10, "outside") if isinstance(x, float) else (False, f"no float: {x!r}")

def aggregate(results):
    x = results[0]
    return {
        "combined_score": -((x - 3.0) ** 2),
        "public": {"x": x, "runs": len(results), "shape": "parabola"},
        "private": {"secret": 7.0},
        "text_feedback": "the peak is further right",
    }

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--program_path")
    parser.add_argument("--results_dir")
    given = parser.parse_args()
    run_shinka_eval(given.program_path, given.results_dir, "where", 2, keywords, aggregate, validate)
"""


def openevolve(folder: Path, evaluator: str, *, config: str = "", program: str = PROGRAM) -> Path:
    """Writes an OpenEvolve task whose evaluator has `LOAD` above it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "initial_program.py").write_text(program)
    (folder / "evaluator.py").write_text(LOAD + dedent(evaluator))
    if config:
        (folder / "config.yaml").write_text(dedent(config))
    return folder


def shinka(folder: Path, evaluator: str = SHINKA, *, program: str = PROGRAM, name: str = "initial.py") -> Path:
    """Writes a ShinkaEvolve task."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(program)
    (folder / "evaluate.py").write_text(dedent(evaluator))
    return folder
