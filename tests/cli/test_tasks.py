import pytest


def test_task_list_as_json(cli):
    tasks = cli("task", "list", "--json").json
    assert {"name": "circle_packing", "origin": "bundled"}.items() <= next(
        t for t in tasks if t["name"] == "circle_packing"
    ).items()
    assert set(tasks[0]) == {"name", "summary", "subject", "origin"}
    assert "circle_packing" in cli("task", "list").out


def test_a_new_task_checks_runs_and_improves_as_written(cli):
    said = cli("task", "new", "mine").out
    assert "evolve task check ./mine" in said
    assert "evolve task draft ./mine" in said
    checked = cli("task", "check", "./mine", "--json").json
    assert checked["ok"] is True
    assert {item["check"] for item in checked["checks"]} >= {"initial program scores", "score repeats", "time to spare"}
    ran = cli("run", "./mine", "--steps", 40, "--json").json
    assert ran["best"]["objective"] > ran["initial"]["objective"]


def test_a_new_task_needs_a_name_that_is_free(cli):
    cli("task", "new", "mine")
    assert "exists already" in cli("task", "new", "mine", status=2).err
    assert "use a letter" in cli("task", "new", "my task", status=2).err


def test_check_fails_when_doing_nothing_wins(cli, tmp_path):
    cli("task", "new", "weak")
    (tmp_path / "weak" / "evaluate.py").write_text(
        "from evolve.evaluators import Score\ndef evaluate(program):\n    return Score(float(program.call('solve', 1.0) or 9.0))\n"
    )
    answer = cli("task", "check", "./weak", status=1)
    assert "FAIL  a program that does nothing does not win" in answer.out


def test_check_fails_when_an_attack_gains(cli, tmp_path):
    cli("task", "new", "weak")
    (tmp_path / "weak" / "evaluate.py").write_text(
        "from evolve.evaluators import Score\ndef evaluate(program):\n    return Score(program.call('solve', 1.0))\n"
    )
    (tmp_path / "weak" / "attack.py").write_text("def solve(x):\n    return 99.0\n")
    manifest = tmp_path / "weak" / "task.toml"
    manifest.write_text(manifest.read_text() + '[[attacks]]\npath = "attack.py"\nabout = "any number counts"\nceiling = 1.0\n')
    answer = cli("task", "check", "./weak", "--json", status=1)
    failed = [item["check"] for item in answer.json["checks"] if not item["ok"]]
    assert failed == ["attack: any number counts"]


def test_check_fails_when_a_score_does_not_repeat(cli, tmp_path):
    cli("task", "new", "noisy")
    (tmp_path / "noisy" / "evaluate.py").write_text(
        "import os\nfrom evolve.evaluators import Score\n"
        "def evaluate(program):\n    return Score(program.call('solve', 1.0) + int.from_bytes(os.urandom(6), 'big') / 2**48)\n"
    )
    failed = [item["check"] for item in cli("task", "check", "./noisy", "--json", status=1).json["checks"] if not item["ok"]]
    assert "score repeats" in failed


def test_check_reports_an_initial_program_that_does_not_score(cli, tmp_path):
    cli("task", "new", "mine")
    (tmp_path / "mine" / "initial.py").write_text("def solve(x):\n    raise RuntimeError('no idea')\n")
    answer = cli("task", "check", "./mine", "--json", status=1)
    assert "no idea" in answer.json["checks"][-1]["detail"]


def test_check_finds_a_broken_template(cli, tmp_path):
    cli("task", "new", "mine")
    manifest = tmp_path / "mine" / "task.toml"
    manifest.write_text(manifest.read_text().replace("[prompt]", '[prompt]\ntemplates = "prompts"'))
    template = tmp_path / "mine" / "prompts" / "ask.md"
    template.parent.mkdir()
    template.write_text("Change it.\n")
    checks = cli("task", "check", "./mine", "--json").json["checks"]
    assert {"check": "prompt templates", "ok": True, "detail": "in place of built-in ones: ask.md"} in checks
    template.write_text("Change it, {{ dirction }}.\n")
    checked = cli("task", "check", "./mine", "--json", status=1).json
    [failed] = [item for item in checked["checks"] if not item["ok"]]
    assert failed["check"] == "prompt templates"
    assert "dirction" in failed["detail"]
    assert any(item["check"] == "score repeats" for item in checked["checks"])


@pytest.mark.slow
def test_every_attack_on_circle_packing_fails(cli):
    checked = cli("task", "check", "circle_packing", "--json").json
    assert checked["ok"] is True
    assert sum(item["check"].startswith("attack: ") for item in checked["checks"]) >= 10


def test_eval_scores_files(cli, tmp_path, parabola):
    (tmp_path / "good.py").write_text("def where():\n    return 2.5\n")
    (tmp_path / "bad.py").write_text("def where():\n    return 1 / 0\n")
    good, bad = cli("eval", parabola, "good.py", "bad.py", "--json").json
    assert (good["file"], good["outcome"], good["objective"], good["metrics"]) == ("good.py", "ok", 0.25, {"x": 2.5})
    assert (bad["outcome"], bad["objective"]) == ("crashed", None)
    assert "ZeroDivisionError" in bad["feedback"]
    assert "good.py: ok 0.25" in cli("eval", parabola, "good.py").out


def test_eval_repeats_with_mean_and_standard_error(cli, tmp_path, parabola):
    (tmp_path / "noisy.py").write_text("import random\ndef where():\n    return random.random()\n")
    row = cli("eval", parabola, "noisy.py", "--repeats", 4, "--json").json[0]
    assert len(row["values"]) == len(set(row["values"])) == 4
    assert row["mean"] == pytest.approx(sum(row["values"]) / 4)
    assert row["standard_error"] > 0


def test_eval_of_a_missing_file_is_wrong_usage(cli, parabola):
    assert "nope.py does not exist" in cli("eval", parabola, "nope.py", status=2).err


def test_doctor_says_how_to_get_a_level_that_is_missing(cli, no_bubblewrap):
    findings = {item["what"]: item for item in cli("doctor", "--json").json}
    assert not findings["isolation strong"]["ok"]
    assert "apt-get install bubblewrap" in findings["isolation strong"]["detail"]


def test_doctor_says_what_works(cli):
    findings = {item["what"]: item for item in cli("doctor", "--json").json}
    assert findings["python"]["ok"]
    assert findings["isolation process"]["ok"]
    assert findings["isolation strong"]["detail"]
    assert "does not exist yet" in findings["archive"]["detail"]
    assert "isolation" in cli("doctor").out


def test_doctor_fails_on_a_broken_archive(cli, tmp_path):
    (tmp_path / "evolve.db").write_text("garbage" * 1000)
    assert "FAIL  archive" in cli("doctor", status=1).out


def test_eval_of_a_folder_without_the_programs_files_is_wrong_usage(cli, parabola, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "holds none of the program's files" in cli("eval", parabola, "empty", status=2).err


def test_a_run_inside_its_tasks_folder_can_be_resumed(cli, tmp_path, monkeypatch):
    cli("task", "new", "mine")
    monkeypatch.chdir(tmp_path / "mine")
    cli("run", "./", "--steps", 6, "--quiet")
    cli("best", "--output", "result")
    assert cli("resume", "--steps", 9, "--json").json["steps"]["done"] == 9


ARTIFACTS = """
from evolve.evaluators import Score

def note(path):
    open(path, "w").write("noted")

def evaluate(program):
    return Score(program.call("solve", 1.0), artifacts={"note.txt": note, "initial.py": note})
"""


def test_artifacts_are_written_beside_a_program_and_never_over_it(cli, tmp_path, caplog):
    cli("task", "new", "mine")
    (tmp_path / "mine" / "evaluate.py").write_text(ARTIFACTS)
    cli("run", "./mine", "--steps", 3, "--quiet")
    shown = cli("best", "--output", "taken", "--json").json
    assert shown["written"] == ["changes.patch", "initial.py", "note.txt", "provenance.json"]
    assert "def solve" in (tmp_path / "taken" / "initial.py").read_text()
    assert "left out, for another file has the name: the evaluator's initial.py" in caplog.text


def test_eval_writes_what_a_score_draws(cli, tmp_path):
    cli("task", "new", "mine")
    (tmp_path / "mine" / "evaluate.py").write_text(ARTIFACTS)
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text("def solve(x):\n    return x\n")
    row = cli("eval", "./mine", "one.py", "--output", "out", "--json").json[0]
    assert (row["output"], row["written"]) == ("out", ["initial.py", "note.txt"])
    assert (tmp_path / "out" / "note.txt").read_text() == "noted"
    assert "wrote to both/two: initial.py, note.txt" in cli("eval", "./mine", "one.py", "two.py", "-o", "both").out
    assert "give files of different names: one.py" in cli("eval", "./mine", "one.py", "mine/one.py", "-o", "both", status=2).err
    assert "give one of them" in cli("eval", "./mine", "one.py", "-o", "out", "--holdout", status=2).err


def test_check_sees_a_paired_measurement_that_does_not_repeat(cli, tmp_path):
    cli("task", "new", "noisy")
    text = (tmp_path / "noisy" / "evaluate.py").read_text()
    paired = "\ndef paired(program, seed):\n    return Score(seed + {0})\n"
    for noise, ok in (("0.0", True), ("int.from_bytes(__import__('os').urandom(6), 'big') / 2**48", False)):
        (tmp_path / "noisy" / "evaluate.py").write_text(text + paired.format(noise))
        checks = cli("task", "check", "./noisy", "--json", status=0 if ok else 1).json["checks"]
        assert {item["check"]: item["ok"] for item in checks}["paired measurement repeats"] is ok
