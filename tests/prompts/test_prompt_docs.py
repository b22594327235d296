"""`docs/prompts.md` says what the code does."""

import re
import subprocess
import sys
from pathlib import Path

from evolve.prompts.budget import CUTS
from evolve.prompts.specimens import specimens

PAGE = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text()


def test_the_example_runs_as_written(tmp_path):
    [example] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    answer = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "Place 26 circles" in answer.stdout


def test_the_cuts_are_listed_in_order_with_their_reasons():
    rows = [f"| {number} | {cut.name} | {cut.reason} |" for number, cut in enumerate(CUTS, 1)]
    assert "\n".join(rows) in PAGE, "\n".join(rows)


def test_every_template_and_every_name_it_is_given_is_listed():
    shared = {"metric", "goal", "kind", "brief", "marked", "one_region", "paths", "in_folder"}
    names = PAGE.split("Besides:")[1]
    for part in specimens():
        assert part.template in PAGE or part.template.startswith("format_")
        for name in set(part.context) - shared:
            row = next(line for line in names.splitlines() if line.startswith(f"| `{part.template}`"))
            assert f"`{name}`" in row, f"{part.template}: {name}"
