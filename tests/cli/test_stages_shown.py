import pytest

EVALUATE = """
from evolve.evaluators import Invalid, Score


def smoke(program):
    if not isinstance(program.call("where"), float):
        raise Invalid("where() must return a float")


def evaluate(program):
    x = program.call("where")
    return Score(-((x - 3.0) ** 2), instances={"left": x - 1.0, "right": 1.0 - x})


def holdout(program):
    return Score(-100.0)
"""
SOURCE = "# EVOLVE-BLOCK-START\ndef where():\n    return 1.0\n# EVOLVE-BLOCK-END\n"


@pytest.fixture
def staged(tmp_path):
    folder = tmp_path / "staged"
    folder.mkdir()
    (folder / "task.toml").write_text(
        'name = "staged"\nprogram = ["initial.py"]\n[objective]\nrepeats = 2\n[smoke]\ntimeout_s = 1\n'
    )
    (folder / "evaluate.py").write_text(EVALUATE)
    (folder / "initial.py").write_text(SOURCE)
    return "./staged"


def test_show_best_and_program_tell_what_stages_and_verification_found(cli, staged):
    ran = cli("run", staged, "--steps", 15, "--json").json
    assert ran["best"]["holdout"]["objective"] == -100.0
    assert ran["verification"]["checked"] >= 1
    shown = cli("show").out
    assert "held out   initial -100, best -100" in shown
    assert f"verified   {ran['verification']['checked']} evaluated again, 0 disagreed" in shown
    assert cli("best", "--json").json["holdout"]["objective"] == -100.0
    assert "on held-out data: -100" in cli("best").err
    program = cli("program", "initial", "--json").json
    assert program["verified"] is True
    assert program["instances"] == {"left": 0.0, "right": 0.0}
    # Twice each time, and as often as a program that would be the best is evaluated.
    assert program["values"] == [-4.0] * 4
    assert program["standard_error"] == 0.0
    assert "objective -4 ± 0 (standard error, 4 values), evaluated again" in cli("program", "initial").out


def test_a_run_without_verification(cli, staged):
    ran = cli("run", staged, "--steps", 3, "--set", "stages.verify=false", "--json").json
    assert ran["verification"] == {"checked": 0, "disagreed": 0}


def test_eval_scores_on_held_out_data_when_asked(cli, staged, tmp_path, parabola):
    (tmp_path / "one.py").write_text(SOURCE)
    assert cli("eval", staged, "one.py", "--holdout", "--json").json[0]["objective"] == -100.0
    assert "defines no holdout" in cli("eval", parabola, "one.py", "--holdout", status=2).err


def test_eval_has_status_1_where_the_evaluator_failed_and_0_where_a_program_did(cli, staged, tmp_path):
    (tmp_path / "one.py").write_text(SOURCE)
    (tmp_path / "two.py").write_text("def where():\n    return 1 / 0\n")
    assert cli("eval", staged, "two.py", "--json").json[0]["outcome"] == "crashed"
    (tmp_path / "staged" / "evaluate.py").write_text("def evaluate(program):\n    raise RuntimeError('no ruler')\n")
    answer = cli("eval", staged, "one.py", "--json", status=1)
    assert answer.json[0]["outcome"] == "evaluator_failed"
    assert "no ruler" in cli("eval", staged, "one.py", status=1).out


def test_eval_repeats_as_the_task_says_or_as_told(cli, staged, tmp_path):
    (tmp_path / "one.py").write_text("import random\ndef where():\n    return random.random()\n")
    own = cli("eval", staged, "one.py", "--json").json[0]
    told = cli("eval", staged, "one.py", "--repeats", 3, "--json").json[0]
    assert (len(own["values"]), len(told["values"])) == (2, 3)
    assert own["values"][0] == told["values"][0]
    assert own["objective"] == own["mean"] == pytest.approx(sum(own["values"]) / 2)
    once = cli("eval", staged, "one.py", "--repeats", 1, "--json").json[0]
    assert once["values"] == [once["objective"]]
    assert once["standard_error"] is None


def test_eval_of_a_program_that_fails_smoke_says_so(cli, staged, tmp_path):
    (tmp_path / "bad.py").write_text("def where():\n    return 'x'\n")
    row = cli("eval", staged, "bad.py", "--json").json[0]
    assert (row["outcome"], row["stage"], row["feedback"]) == ("invalid", "smoke", "where() must return a float")


def test_check_scores_the_initial_program_on_held_out_data(cli, staged, tmp_path):
    checks = {item["check"]: item["ok"] for item in cli("task", "check", staged, "--json").json["checks"]}
    assert checks["initial program scores on held-out data"]
    (tmp_path / "staged" / "evaluate.py").write_text(EVALUATE.replace("Score(-100.0)", "Score(1 / 0)"))
    failed = [item for item in cli("task", "check", staged, "--json", status=1).json["checks"] if not item["ok"]]
    assert [item["check"] for item in failed] == ["initial program scores on held-out data"]
    assert "ZeroDivisionError" in failed[0]["detail"]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("[objective]\nrepeats = 0", "objective.repeats must be >= 1, got 0"),
        ("[objective]\ntolerance = -0.1", "objective.tolerance must be >= 0, got -0.1"),
        ("[smoke]\ntimeout_s = 0", "smoke.timeout_s must be > 0, got 0.0"),
        ("[smoke]\nthreshold = nan", "smoke.threshold must be finite, got nan"),
        ("[smoke]\nthreshhold = 1", "unknown key 'threshhold'; did you mean 'threshold'?"),
    ],
)
def test_a_mistake_in_the_manifest_is_named(cli, staged, tmp_path, table, words):
    (tmp_path / "staged" / "task.toml").write_text(f'name = "staged"\nprogram = ["initial.py"]\n{table}\n')
    assert words in cli("task", "check", staged, status=1).err
