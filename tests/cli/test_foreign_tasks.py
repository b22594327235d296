"""Other frameworks' folders through the command line."""

import pytest
from foreign_folders import openevolve, shinka

EVALUATE = """
    def evaluate(program_path):
        x = load(program_path).where()
        return {"combined_score": 9.0 - (x - 3.0) ** 2, "x": x}
"""


@pytest.fixture
def folder(tmp_path):
    return openevolve(tmp_path / "peak", EVALUATE, config="llm: {primary_model: some-model}\nevaluator: {timeout: 5}\n")


def test_eval_marks_the_score(cli, folder):
    row = cli("eval", folder, folder / "initial_program.py", "--json").json[0]
    assert (row["objective"], row["shared_process"]) == (5.0, True)
    assert "5  (shared-process score)" in cli("eval", folder, folder / "initial_program.py").out


def test_a_run_improves_and_its_figures_bear_the_mark(cli, folder):
    ran = cli("run", folder, "--steps", 30, "--name", "p", "--json").json
    assert ran["best"]["objective"] > ran["initial"]["objective"] == 5.0
    assert ran["shared_process"] is True
    assert "shared-process scores" in cli("show", "p").out
    assert cli("replay", "p", "--json").json["differences"] == []
    assert cli("resume", "p", "--steps", 40, "--json").json["steps"]["done"] == 40
    assert cli("best", "p", "--output", "result").status == 0


def test_check_says_what_can_be_faked_and_holds(cli, folder):
    checked = cli("task", "check", folder, "--json").json
    details = {item["check"]: item["detail"] for item in checked["checks"]}
    assert checked["ok"] is True
    assert details["settings"] == "without a meaning here: llm"
    assert "CAN FAKE ITS SCORE" in details["a program that replaces what reports the score to the outside, found in sys.modules"]
    assert "gains nothing" in details["a program that returns NaN everywhere"]
    assert "1 of 4 forgeries succeed" in details["shared process"]


def test_check_finds_more_to_fake_where_scores_are_written_to_files(cli, tmp_path):
    checked = cli("task", "check", shinka(tmp_path / "peak"), "--json").json
    details = {item["check"]: item["detail"] for item in checked["checks"]}
    assert "CAN FAKE ITS SCORE" in details["a program that patches json, which writes scores down"]


def test_a_folder_that_does_not_score_fails_its_check(cli, tmp_path):
    broken = openevolve(tmp_path / "broken", "def evaluate(program_path):\n    return {'combined_score': float('nan')}\n")
    failed = [item["check"] for item in cli("task", "check", broken, "--json", status=1).json["checks"] if not item["ok"]]
    assert failed == ["initial program scores"]


def test_a_task_of_ours_has_no_mark(cli, parabola):
    assert cli("run", parabola, "--steps", 3, "--json").json["shared_process"] is False
