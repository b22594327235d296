"""A program of two files goes through run, best, diff, eval and replay like one of a single file."""

import pytest

MANIFEST = 'name = "pair"\nprogram = ["main.py", "lib/helper.py"]\n[limits]\ntimeout_s = 2\n'
MAIN = "from lib.helper import offset\n\n# EVOLVE-BLOCK-START\ndef value():\n    return 2.0 + offset()\n# EVOLVE-BLOCK-END\n"
HELPER = "# fixed text\n# EVOLVE-BLOCK-START\ndef offset():\n    return 1.5\n# EVOLVE-BLOCK-END\n# more fixed text\n"
EVALUATE = """
from evolve.evaluators import Invalid, Score
def evaluate(program):
    value = program.call("value")
    if not isinstance(value, float):
        raise Invalid("a float is expected")
    return Score(-abs(value - 40.0))
"""


@pytest.fixture
def task(tmp_path):
    folder = tmp_path / "pair"
    (folder / "lib").mkdir(parents=True)
    texts = {"task.toml": MANIFEST, "main.py": MAIN, "lib/helper.py": HELPER, "evaluate.py": EVALUATE}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return "./pair"


def test_both_files_evolve_within_their_regions(cli, task, tmp_path):
    ran = cli("run", task, "--steps", 60, "--json").json
    assert ran["initial"]["objective"] == -36.5
    assert ran["best"]["objective"] > -36.5
    nodes = cli("tree", "--all", "--json").json
    changed = set()
    for node in nodes:
        files = cli("program", node["program"], "--json").json["files"]
        assert set(files) == {"main.py", "lib/helper.py"}
        assert files["lib/helper.py"].startswith("# fixed text\n# EVOLVE-BLOCK-START\n")
        assert files["lib/helper.py"].endswith("# EVOLVE-BLOCK-END\n# more fixed text\n")
        assert files["main.py"].startswith("from lib.helper import offset\n\n# EVOLVE-BLOCK-START\n")
        changed |= {name for name, text in files.items() if text != {"main.py": MAIN, "lib/helper.py": HELPER}[name]}
    assert changed == {"main.py", "lib/helper.py"}
    assert cli("replay", "--json").json["differences"] == []


def test_both_files_are_taken_away_and_scored_again(cli, task, tmp_path):
    ran = cli("run", task, "--steps", 30, "--json").json
    taken = cli("best", "--output", "taken", "--json").json
    assert taken["agrees"] is True
    assert {"main.py", "lib/helper.py", "changes.patch", "provenance.json"} <= set(taken["written"])
    assert cli("eval", task, "taken", "--json").json[0]["objective"] == ran["best"]["objective"]
    assert (tmp_path / "taken" / "lib" / "helper.py").read_text().startswith("# fixed text\n")


def test_program_and_diff_show_file_by_file(cli, task):
    ran = cli("run", task, "--steps", 60, "--json").json
    shown = cli("program", ran["best"]["program"]).out
    assert shown.index("lib/helper.py") < shown.index("def offset():") < shown.index("main.py") < shown.index("def value():")
    best = cli("best").out
    assert "# main.py" in best
    assert "# lib/helper.py" in best
    patch = cli("diff", "initial", "best").out
    changed = [name for name in ("main.py", "lib/helper.py") if f"--- a/{name}\n+++ b/{name}\n" in patch]
    assert changed


def test_a_long_run_is_read_back_file_by_file(cli, task, tmp_path):
    # Long enough for files that a child repeats to become what others are compressed against.
    text = (tmp_path / "pair" / "lib" / "helper.py").read_text()
    (tmp_path / "pair" / "lib" / "helper.py").write_text(text + "".join(f"# line {number} of many\n" for number in range(40)))
    cli("run", task, "--steps", 150, "--json")
    for node in cli("tree", "--all", "--json").json:
        assert set(cli("program", node["program"], "--json").json["files"]) == {"main.py", "lib/helper.py"}
