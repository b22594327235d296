"""What `benchmarks/run.py` writes leaves what was written by hand."""

import re
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def in_run(code: str) -> subprocess.CompletedProcess[str]:
    """Runs code beside `run.py`, in a process of its own: its modules have names that others have too."""
    return subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS, capture_output=True, text=True, check=False)


def test_a_new_table_keeps_what_stands_below_the_marker():
    answer = in_run(
        "import run\nformer = run.RESULTS.read_text()\nbelow = run.kept_below(former)\n"
        "new = run.page([run.Row('a row', '7', '8')], below)\n"
        "assert '| a row | 7 | 8 |' in new and 'import numpy' not in new, new\n"
        "assert '## Runs with language models' in below and new.endswith(below), below\n"
        "assert run.kept_below(new) == below"
    )
    assert answer.returncode == 0, answer.stderr


def test_a_page_without_the_marker_is_refused_before_anything_is_measured():
    answer = in_run("import run\nrun.kept_below('# Results, by hand')")
    assert answer.returncode == 1
    assert re.search("error: .*RESULTS.md has no marker line, expected .*; put it above", answer.stderr)
