import shutil

import pytest
from conftest import PARABOLA


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
