import re

import pytest

from evolve.cli.compare import read_seeds
from evolve.errors import ConfigError

VARIANT = "default[islands.n_islands=1]"


def test_compare_prints_one_json_value_and_writes_report_and_figure(cli, parabola, tmp_path):
    words = ["compare", parabola, "--strategy", "default", "--strategy", VARIANT, "--seeds", "2", "--steps", 4]
    answer = cli(*words, "--json", "--report", "report.md", "--figure", "curves.svg")
    shown = answer.json
    assert shown["budget"] == {"axis": "steps", "amount": 4.0}
    assert shown["seeds"] == [0, 1]
    assert [item["strategy"] for item in shown["strategies"]] == ["default", VARIANT]
    for item in shown["strategies"]:
        assert {"strategy", "median", "low", "high", "values", "checkpoints", "area", "runs"} == set(item)
        assert len(item["values"]) == 2
        assert item["low"] <= item["median"] <= item["high"]
        assert [point["at"] for point in item["checkpoints"]] == [1, 2, 4]
        assert [run["name"] for run in item["runs"]] == [f"hello_parabola/{item['strategy']}/{seed}" for seed in (0, 1)]
    [test] = shown["tests"]
    assert (test["first"], test["second"], test["n"]) == ("default", VARIANT, 2)
    assert shown["smallest_p"] == 0.5 <= test["p"] <= test["p_adjusted"] <= 1
    report = (tmp_path / "report.md").read_text()
    assert "![Best height so far](curves.svg)" in report
    assert "no p-value below 0.5 is attainable" in report
    assert "<svg" in (tmp_path / "curves.svg").read_text()
    assert re.search(r"run 4 of 4: hello_parabola/default\[islands", answer.err)

    again = cli(*words, "--figure", "curves.png")
    assert "run 1 of 4" not in again.err
    assert "hello_parabola: height (minimize) after 4 steps" in again.out
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")

    refused = cli(*words, "--set", "lag=2", status=2)
    assert "lag was 4 and is 2 here" in refused.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--strategy", "defualt"], "unknown strategy 'defualt'; did you mean 'default'?"),
        (["--strategy", "default[islands.n_island=1]"], "did you mean 'n_islands'?"),
        (["--strategy", "default[steps=9]"], "give it by --steps"),
        (["--seeds", "many"], "--seeds takes a number of seeds, such as 5, or a list of them, such as 3,7,9; got 'many'"),
        (["--seeds", "0"], "seeds must be distinct and at least one"),
        (["--figure", "curves.gif"], "'.gif' is no kind of figure"),
        (["--report", "nowhere/report.md"], "there is no folder nowhere"),
        (["--budget-usd", "1", "--max-seconds", "9"], "give one budget to compare by"),
        (["--arm", "local/literal"], "did you mean 'local/literals'?"),
        (["--strategy", 'default[bandit.name="ucb9"]'], "unknown bandit 'ucb9'"),
    ],
)
def test_wrong_usage_is_named_and_nothing_is_written(cli, parabola, tmp_path, words, message):
    assert message in cli("compare", parabola, *words, status=2).err
    assert not (tmp_path / "evolve.db").exists()


def test_seeds_are_a_number_or_a_list():
    assert read_seeds("3") == [0, 1, 2]
    assert read_seeds("3, 7,9") == [3, 7, 9]
    assert read_seeds("7,") == [7]
    for text in ("", ",", "-1", "2.5", "1,x"):
        with pytest.raises(ConfigError, match="--seeds takes"):
            read_seeds(text)


def test_an_interruption_says_that_the_same_command_goes_on(cli, tmp_path):
    folder = tmp_path / "stops"
    folder.mkdir()
    (folder / "task.toml").write_text('name = "stops"\nprogram = ["initial.py"]\n')
    (folder / "initial.py").write_text("# EVOLVE-BLOCK-START\ndef f():\n    return 1.0\n# EVOLVE-BLOCK-END\n")
    # The worker's parent is the command: the first evaluation presses Ctrl-C.
    (folder / "evaluate.py").write_text(
        "import os, pathlib, signal\nfrom evolve import Score\n\n\n"
        "def evaluate(program):\n"
        f"    mark = pathlib.Path({str(tmp_path / 'pressed')!r})\n"
        "    if not mark.exists():\n"
        "        mark.touch()\n"
        "        os.kill(os.getppid(), signal.SIGINT)\n"
        "    return Score(program.call('f'))\n"
    )
    words = ["compare", folder, "--strategy", "default", "--seeds", 1, "--steps", 3, "--quiet"]
    assert "nothing is lost. The same command goes on: evolve" in cli(*words, status=130).err
    assert cli("show", "stops/default/0", "--json").json["status"] == "stopped"
    cli(*words)
    assert cli("show", "stops/default/0", "--json").json["steps"] == {"asked": 3, "done": 3}
