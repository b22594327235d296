import json
import re

import pytest

KEYS = {"run", "name", "task", "status", "seed", "steps", "evaluated", "outcomes", "initial", "best", "calls", "usd", "tokens",
        "seconds", "arms", "isolation", "hosts", "shared_process", "verification", "starts", "rescores",
        "embeddings", "judge"}  # fmt: skip


def test_run_prints_one_json_value_and_nothing_else(cli, parabola):
    answer = cli("run", parabola, "--steps", 30, "--seed", 2, "--json")
    shown = answer.json
    assert set(shown) == KEYS
    assert (shown["task"], shown["status"], shown["seed"]) == ("hello_parabola", "finished", 2)
    assert shown["steps"] == {"asked": 30, "done": 30}
    assert shown["initial"]["objective"] == 4.0
    assert shown["best"]["objective"] < 4.0
    assert set(shown["best"]) == {"program", "objective", "interval", "metrics", "generation", "step", "holdout"}
    assert sum(shown["outcomes"].values()) == 30
    assert sum(arm["pulls"] for arm in shown["arms"].values()) == 30
    assert shown["usd"] == 0
    assert shown["isolation"] in ("process", "landlock", "strong")


def test_run_for_people_says_what_improved_and_what_to_type_next(cli, parabola):
    answer = cli("run", parabola, "--steps", 30)
    assert "objective 4 → " in answer.out
    assert re.search(r"evolve resume hello_parabola-1 --steps 60", answer.out)
    assert "step 30/30" in answer.err or "improved" in answer.err


def test_quiet_prints_nothing(cli, parabola):
    answer = cli("run", parabola, "--steps", 3, "--quiet")
    assert answer.out == answer.err == ""


def test_verbose_logs_a_line_per_step(cli, parabola, caplog):
    cli("run", parabola, "--steps", 3, "--verbose")
    lines = [record.message for record in caplog.records if record.name == "evolve.loop"]
    assert [line.split(":")[0] for line in lines] == ["step 0", "step 1", "step 2", "step 3"]


def test_settings_come_from_file_set_and_options_and_the_later_wins(cli, parabola, tmp_path):
    (tmp_path / "c.toml").write_text("steps = 5\nseed = 5\n[islands]\nn_islands = 2\n")
    words = ["--config", "c.toml", "--set", "seed=6", "--set", "islands.migration_every=9", "--steps", 4, "--json"]
    assert cli("run", parabola, *words).json["seed"] == 6
    from evolve import Archive

    with Archive.open(tmp_path / "evolve.db") as archive:
        config = archive.run_record(1).config
    assert (config["steps"], config["seed"]) == (4, 6)
    assert (config["islands"]["n_islands"], config["islands"]["migration_every"]) == (2, 9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_such_task"], "unknown task 'no_such_task'"),
        (["{task}", "--steps", "0"], "steps must be >= 1, got 0"),
        (["{task}", "--strategy", "defualt"], "unknown strategy 'defualt'; did you mean 'default'?"),
        (["{task}", "--arm", "local/literal"], "unknown arm 'local/literal'; did you mean 'local/literals'?"),
        (["{task}", "--executor", "moon"], "unknown executor 'moon'"),
        (["{task}", "--order", "random"], "order must be one of strict, asap; got 'random'"),
        (["{task}", "--isolation", "total"], "isolation must be one of process, landlock, strong; got 'total'"),
        (["{task}", "--set", "islands.n_island=2"], "unknown key 'n_island'; did you mean 'n_islands'?"),
        (["{task}", "--set", "steps"], "--set takes KEY=VALUE, got 'steps'"),
        (["{task}", "--config", "none.toml"], "none.toml does not exist"),
        (["{task}", "--seed", "-1"], "seed must be >= 0, got -1"),
    ],
)
def test_wrong_usage_is_named_and_nothing_is_written(cli, parabola, tmp_path, words, message):
    answer = cli("run", *(word.format(task=parabola) for word in words), status=2)
    assert message in answer.err
    assert not (tmp_path / "evolve.db").exists()


def test_an_isolation_that_is_not_to_be_had_is_refused_before_anything_runs(cli, parabola):
    from evolve.evaluators.sandbox import available_levels

    missing = [report for report in available_levels() if not report.available]
    for report in missing:
        answer = cli("run", parabola, "--isolation", str(report.level), status=1)
        assert str(report.level) in answer.err


def broken(tmp_path, text, initial="# EVOLVE-BLOCK-START\nx = 1\n# EVOLVE-BLOCK-END\n"):
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "task.toml").write_text('name = "broken"\nprogram = ["initial.py"]\n[limits]\ntimeout_s = 1\n')
    (folder / "initial.py").write_text(initial)
    (folder / "evaluate.py").write_text(text)
    return str(folder)


def test_an_initial_program_that_does_not_score_ends_the_run_with_its_traceback(cli, tmp_path):
    task = broken(tmp_path, "def evaluate(program):\n    program.call('f')\n", "def f():\n    return 1 / 0\n")
    answer = cli("run", task, status=1)
    assert "the initial program of task broken does not score: crashed" in answer.err
    assert "ZeroDivisionError" in answer.err
    assert "evolve task check" in answer.err
    assert cli("show", "--json").json["status"] == "failed"
    assert cli("show", "--json").json["best"] is None


def test_an_evaluator_that_raises_is_not_blamed_on_the_program(cli, tmp_path):
    task = broken(tmp_path, "def evaluate(program):\n    raise KeyError('radius')\n")
    answer = cli("run", task, status=1)
    assert "evaluator_failed" in answer.err
    assert "KeyError" in answer.err


def test_an_evaluator_that_does_not_load_is_named(cli, tmp_path):
    answer = cli("run", broken(tmp_path, "import no_such_module\n"), status=1)
    assert "no_such_module" in answer.err


def test_an_evaluator_without_evaluate_is_named(cli, tmp_path):
    assert "evaluate" in cli("run", broken(tmp_path, "x = 1\n"), status=1).err


def test_max_seconds_stops_the_run_and_resume_goes_on(cli, parabola):
    stopped = cli("run", parabola, "--steps", 100000, "--max-seconds", 3, "--json").json
    assert stopped["status"] == "stopped"
    assert 0 < stopped["steps"]["done"] < 100000
    more = stopped["steps"]["done"] + 5
    assert cli("resume", "--steps", more, "--json").json["steps"]["done"] == more


def test_a_budget_that_ends_before_any_child_is_exit_3(cli, parabola):
    cli("run", parabola, "--max-seconds", 0.000001, "--quiet", status=3)


def test_resuming_a_finished_run_changes_nothing(cli, parabola):
    first = cli("run", parabola, "--steps", 5, "--json").json
    second = cli("resume", "--json").json
    assert {**first, "seconds": 0} == {**second, "seconds": 0}


def test_a_taken_name_is_refused(cli, parabola):
    cli("run", parabola, "--steps", 1, "--name", "mine", "--quiet")
    assert "mine" in cli("run", parabola, "--steps", 1, "--name", "mine", status=1).err


def test_a_changed_evaluator_is_not_mixed_with_old_scores(cli, tmp_path):
    task = broken(tmp_path, "from evolve.evaluators import Score\ndef evaluate(program):\n    return Score(1.0)\n")
    cli("run", task, "--steps", 2, "--quiet")
    (tmp_path / "broken" / "evaluate.py").write_text(
        "from evolve.evaluators import Score\ndef evaluate(program):\n    return Score(2.0)\n"
    )
    assert "has changed since run broken-1 began" in cli("resume", "--steps", 4, status=1).err


def test_a_run_that_is_not_there(cli, parabola):
    assert "does not exist" in cli("resume", status=1).err
    cli("run", parabola, "--steps", 1, "--quiet")
    assert "nope" in cli("resume", "nope", status=2).err


def test_a_prefix_that_two_runs_share_names_both(cli, parabola):
    for name in ("trial-a", "trial-b"):
        cli("run", parabola, "--steps", 1, "--name", name, "--quiet")
    answer = cli("show", "trial", status=2)
    assert "trial-a" in answer.err
    assert "trial-b" in answer.err
    assert cli("show", "trial-a", "--json").json["name"] == "trial-a"


def test_replay_as_json(cli, parabola):
    cli("run", parabola, "--steps", 8, "--quiet")
    assert json.loads(cli("replay", "--json").out) == {"steps": 8, "differences": []}
    assert "no difference" in cli("replay").out


def test_an_executor_that_there_is_not_is_refused_with_what_there_is(cli, parabola, tmp_path):
    answer = cli("run", parabola, "--executor", "nonsense", "--steps", 3, status=2)
    assert "unknown executor 'nonsense'" in answer.err
    assert "HOST:PORT or ray://HOST:PORT" in " ".join(answer.err.split())
    assert not (tmp_path / "evolve.db").exists()
