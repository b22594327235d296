import csv
import io
import json
import subprocess

import pytest

from evolve.cli import facts


@pytest.fixture
def ran(cli, parabola):
    return cli("run", parabola, "--steps", 40, "--seed", 1, "--json").json


def test_runs_lists_what_show_prints(cli, ran):
    assert cli("runs", "--json").json == [cli("show", "--json").json] == [ran]
    assert "hello_parabola-1" in cli("runs").out


def test_show_for_people(cli, ran):
    out = cli("show").out
    assert "minimize height" in out
    assert "evolve run" in out
    assert ran["best"]["program"] in out


def test_best_prints_the_program(cli, ran):
    assert "def where():" in cli("best").out
    shown = cli("best", "--json").json
    assert shown["program"] == ran["best"]["program"]
    assert "def where():" in shown["files"]["initial.py"]


def test_best_writes_program_patch_and_provenance(cli, ran, tmp_path, parabola):
    shown = cli("best", "--output", "taken", "--json").json
    assert shown["agrees"] is True
    provenance = json.loads((tmp_path / "taken" / "provenance.json").read_text())
    assert provenance["objective"] == ran["best"]["objective"]
    assert provenance["repeat_with"] == f"evolve run {parabola} --steps 40 --seed 1"
    assert {"run", "step", "seed", "config", "evaluator_sha256", "versions"} <= set(provenance)
    initial = cli("program", "initial", "--json").json["files"]["initial.py"]
    (tmp_path / "initial.py").write_text(initial)
    subprocess.run(["git", "apply", "taken/changes.patch"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "initial.py").read_text() == (tmp_path / "taken" / "initial.py").read_text()


def test_best_says_when_it_cannot_write(cli, ran, tmp_path):
    (tmp_path / "file").write_text("")
    assert "cannot write to file" in cli("best", "--output", "file", status=2).err


def test_the_command_that_repeats_a_run_repeats_it(cli, ran):
    words = cli("show").out.partition("again with")[2].splitlines()[0].split()
    assert words[0] == "evolve"
    assert {**cli(*words[1:], "--json").json, "run": 0, "name": "", "seconds": 0} == {**ran, "run": 0, "name": "", "seconds": 0}


def test_program_shows_ancestry_attempts_and_source(cli, ran):
    shown = cli("program", ran["best"]["program"][:6], "--json").json
    assert shown["program"] == ran["best"]["program"]
    assert shown["objective"] == ran["best"]["objective"]
    assert shown["lineage"][0]["program"] == shown["program"]
    assert len(shown["lineage"]) == shown["generation"] + 1
    assert shown["attempts"]
    assert shown["program"] in cli("program", "best").out


def test_an_unknown_program_is_wrong_usage(cli, ran):
    assert "zzz" in cli("program", "zzz", status=2).err


def test_diff_of_two_programs_and_of_a_child_with_its_parent(cli, ran):
    whole = cli("diff", "initial", "best").out
    assert "-    return 1.0" in whole
    assert whole.startswith("--- a/initial.py\n+++ b/initial.py\n")
    parent = cli("program", "best", "--json").json["parents"][0]
    assert cli("diff", "best").out == cli("diff", parent, "best").out
    assert "has no parent" in cli("diff", "initial", status=2).err


def test_diff_without_a_change_is_empty(cli, ran):
    assert cli("diff", "best", "best").out == ""


def test_tree_shows_the_way_to_the_best_and_all_shows_every_program(cli, ran):
    way = cli("tree", "--json").json
    assert way[0]["parent"] is None
    assert ran["best"]["program"] in {node["program"] for node in way}
    everything = cli("tree", "--all", "--json").json
    assert len(everything) >= len(way)
    assert all(node["parent"] is None or node["parent"] in {n["program"] for n in everything} for node in everything)
    assert ran["best"]["program"] in cli("tree").out


def test_export_writes_a_line_per_step_in_order(cli, ran, tmp_path):
    rows = [json.loads(line) for line in cli("export").out.splitlines()]
    assert [row["step"] for row in rows] == list(range(41))
    for key in (
        "outcome",
        "program",
        "parent",
        "inspirations",
        "island",
        "arm",
        "edit",
        "objective",
        "metrics",
        "source_sha256",
        "usd",
    ):
        assert key in rows[1]
    cli("export", "--format", "csv", "--output", "steps.csv")
    table = list(csv.DictReader(io.StringIO((tmp_path / "steps.csv").read_text())))
    assert [int(row["step"]) for row in table] == list(range(41))


def test_reading_needs_an_archive(cli):
    for command in ("runs", "show", "best", "tree", "export"):
        assert "evolve.db" in cli(command, status=1).err


def test_an_archive_that_is_not_one_is_named(cli, tmp_path):
    (tmp_path / "evolve.db").write_text("this is not a database, but long enough to look at" * 100)
    assert "evolve.db" in cli("runs", status=1).err


def test_a_run_that_planned_and_finished_nothing_can_be_shown(cli, ran, tmp_path):
    import sqlite3

    connection = sqlite3.connect(tmp_path / "evolve.db")
    with connection:
        connection.execute("DELETE FROM additions WHERE step > 0")
    connection.close()
    assert "–" in cli("show").out
    assert cli("show", "--json").json["steps"]["done"] == 0


def hosts(count):
    return [{"host": f"h{number}", "isolation": "strong", "evaluated": number + 1} for number in range(count)]


def test_machines_that_a_cluster_chose_are_named_up_to_twenty():
    assert facts.host_rows([]) == []
    assert facts.host_rows(hosts(2)) == [["evaluated", "1 on h0 at strong"], ["", "2 on h1 at strong"]]
    rows = facts.host_rows(hosts(23))
    assert (len(rows), rows[-1]) == (21, ["", "and 3 more machines"])
