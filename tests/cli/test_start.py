import pytest


def program(x: str) -> str:
    return f"# EVOLVE-BLOCK-START\ndef where():\n    return {x}\n\n\n# EVOLVE-BLOCK-END\n"


@pytest.fixture
def started(cli, parabola, tmp_path):
    """A run that was started from a file, the task's own program and one that crashes."""
    for name, x in {"near.py": "2.5", "broken.py": "1 / 0"}.items():
        (tmp_path / name).write_text(program(x))
    words = ["--start", "near.py", "--start", "initial", "--start", "broken.py"]
    return cli("run", parabola, *words, "--steps", 6, "--name", "mine", "--json").json


def test_show_says_how_many_starts_there_were_and_what_they_scored(cli, started):
    out = cli("show").out
    assert "3, 2 of them scored" in out
    assert "near.py  0.25  (program" in out
    assert "broken.py  crashed  (program" in out
    assert "--start near.py --start initial --start broken.py" in out


def test_tree_draws_a_root_for_each_the_initial_program_first(cli, started):
    lines = [line for line in cli("tree").out.splitlines() if "starting program" in line or "initial program" in line]
    assert [line.split("  ")[1] for line in lines] == ["step 0", "step -1", "step -2"]


def test_diff_initial_means_the_first_one(cli, started):
    assert cli("diff", "initial", started["starts"][1]["program"], "--json").json["from"] == started["starts"][0]["program"]
    assert "is a starting program" in cli("diff", started["starts"][1]["program"], status=2).err


def test_export_begins_with_the_starting_programs(cli, started):
    assert [line.split(",")[0] for line in cli("export", "--format", "csv").out.splitlines()[1:5]] == ["-2", "-1", "0", "1"]


def test_a_run_starts_from_anothers_best_program(cli, parabola, started):
    again = cli("run", parabola, "--start", "mine", "--start", "mine/initial", "--steps", 1, "--json").json
    best = started["best"]
    assert again["initial"]["objective"] == best["objective"]
    assert again["starts"][0]["origin"] == f"mine/{best['program']}"


def test_a_starting_point_that_is_not_there_is_wrong_usage_and_nothing_is_written(cli, parabola, tmp_path):
    assert "starting point 'nope.py'" in cli("run", parabola, "--start", "nope.py", status=2).err
    assert not (tmp_path / "evolve.db").exists()
