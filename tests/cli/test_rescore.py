import io
import re
import shutil

import pytest
from conftest import PARABOLA
from rich.console import Console

from evolve.cli.starts_progress import LineStarts, LiveStarts, NoStarts, StartsTally, starts_progress
from evolve.program import Evaluation, Outcome


@pytest.fixture
def folder(cli, tmp_path):
    shutil.copytree(PARABOLA, tmp_path / "task")
    cli("run", "./task", "--steps", 12, "--name", "old", "--quiet")
    return tmp_path / "task"


def change(folder):
    text = (PARABOLA / "evaluate.py").read_text()
    (folder / "evaluate.py").write_text(text.replace("(x - 3) ** 2", "abs(x + 3)"))


def test_rescore_says_so_when_nothing_has_changed(cli, folder):
    assert "nothing has changed (--force scores all the same)" in cli("rescore", "old").out
    answer = cli("rescore", "old", "--json").json
    assert (answer["evaluator_changed"], answer["run"], answer["programs"]) == (False, None, [])


def test_rescore_prints_old_and_new_scores_and_how_ranks_moved(cli, folder):
    change(folder)
    out = cli("rescore", "old", "--name", "new").out
    assert "before" in out
    assert "(+" in out
    assert "run new rescores run old" in out
    answer = cli("rescore", "old", "--json").json
    assert (answer["name"], answer["rescores"]) == ("new", {"run": 1, "name": "old"})
    assert set(answer["programs"][0]) == {
        "program", "rescored", "outcome", "objective_before", "objective", "rank_before", "rank",
    }  # fmt: skip
    assert [item["rank"] for item in answer["programs"]] == sorted(item["rank"] for item in answer["programs"])
    assert cli("show", "new", "--json").json["rescores"] == 1
    assert "again with evolve rescore old" in cli("show", "new").out
    assert cli("best", "new", "--json").json["objective"] == answer["programs"][0]["objective"]
    assert len(cli("export", "new").out.splitlines()) == len(answer["programs"])


def test_rescore_says_at_the_end_what_changed(cli, folder):
    change(folder)
    out = cli("rescore", "old", "--name", "new").out
    changed = cli("rescore", "old", "--json").json["changed"]
    said = out.splitlines()[-1]
    assert re.fullmatch(r"changed: .*\d+ (better|worse).*; \d+ ranks? moved; the best (is \w+, and was \w+|stays \w+)", said)
    assert f"{changed['worse']} worse" in said
    assert f"{changed['ranks']} rank" in said
    assert changed["best"] == cli("rescore", "old", "--json").json["programs"][0]["program"]
    assert changed["best_before"] == cli("best", "old", "--json").json["program"]
    assert "no score has changed; the best is" in cli("rescore", "new", "--force").out


def test_rescore_shows_lines_where_there_is_no_terminal_and_none_when_quiet(cli, folder):
    change(folder)
    answer = cli("rescore", "old", "--json")
    total = len(answer.json["programs"])
    assert re.search(rf"^program {total}/{total}  [\d.]+ programs/s  0.0 s left$", answer.err, re.MULTILINE), answer.err
    assert cli("rescore", "old", "--force", "--quiet").err == ""


def test_rescore_shows_a_bar_on_a_terminal(cli, folder, monkeypatch):
    change(folder)
    terminal = Console(file=io.StringIO(), force_terminal=True, width=90)
    monkeypatch.setattr("evolve.cli.rescore.stderr", terminal)
    cli("rescore", "old")
    shown = terminal.file.getvalue()
    assert "rescoring old   program" in shown
    assert "━" in shown
    assert "program 0/" not in shown


@pytest.mark.parametrize(
    ("terminal", "quiet", "kind"), [(True, False, LiveStarts), (False, False, LineStarts), (True, True, NoStarts)]
)
def test_the_display_suits_the_console(terminal, quiet, kind):
    console = Console(file=io.StringIO(), force_terminal=terminal)
    with starts_progress("old", console, quiet=quiet) as shown:
        shown.scored(Evaluation(Outcome.CRASHED), 2)
    assert isinstance(shown, kind)


def test_the_pace_of_a_rescoring_is_that_of_its_programs():
    now = [0.0]
    tally = StartsTally("old", clock=lambda: now[0])
    assert (tally.rate, tally.left_s) == (0.0, None)
    now[0] = 2.0
    for _ in range(4):
        tally.take(Evaluation(Outcome.OK, 1.0), 10)
    assert (tally.done, tally.rate, tally.left_s) == (4, 2.0, 3.0)


def test_lines_come_now_and_then_and_for_the_last_program():
    now = [0.0]
    console = Console(file=io.StringIO(), width=90)
    with LineStarts(StartsTally("old", clock=lambda: now[0]), console) as lines:
        for second in range(1, 9):
            now[0] = float(second)
            lines.scored(Evaluation(Outcome.OK, 1.0), 8)
    assert [line.split()[1] for line in console.file.getvalue().splitlines()] == ["5/8", "8/8"]
