"""Whole runs that make notes on themselves and ask for new approaches, over real HTTP on loopback."""

import itertools
import sqlite3

import pytest
from conftest import PARABOLA
from model_kit import improver, rewrite

import evolve
from evolve.archive.records import COUNTED
from evolve.archive.store import Archive
from evolve.errors import ConfigError
from evolve.settings import merged
from evolve.testing.model_server import Answer, Fault, ModelServer

IMPATIENT = {
    "calls": {"give_up_s": 0.5, "first_wait_s": 0.01, "max_wait_s": 0.05, "cooldown_s": 0.05},
    "stages": {"patience_s": 2.0},
}
NOTES = "# Notes on this search so far"


def run(server, where, *, specs=("scripted[kinds=full]",), settings=None, **more):
    arms = [f"openai/{spec}@{server.url}" for spec in specs]
    options = {"steps": 12, "seed": 3, "arms": arms, "settings": merged(IMPATIENT, settings or {}), **more}
    return evolve.run(str(PARABOLA), archive=where / "a.db", **options)


def rows(where, query):
    with sqlite3.connect(where / "a.db") as connection:
        return connection.execute(query).fetchall()


def worse(asked):
    """A program that is none of those before, and worse than all."""
    return Answer(rewrite(100.0 + asked.number))


def noter(asked):
    return Answer("- Halve the distance.\n- Nothing else helps.\n") if is_note(asked) else improver(asked)


def is_note(asked):
    return "Write notes for those models" in asked.messages[0].text


def test_a_run_that_stands_still_asks_its_dearest_model_for_a_new_approach(tmp_path):
    specs = ("cheap[kinds=full,price=1/1]", "dear[kinds=diff+full,price=5/5]")
    stagnation = {"stagnation": {"after": 3, "every": 5, "protect": 4}}
    with ModelServer(worse) as server:
        made = run(server, tmp_path, specs=specs, settings=stagnation, budget_usd=5.0, steps=14)
        assert made.summary()["steps"]["done"] == 14
        asked = [one for one in server.asked if "# A new approach is wanted" in one.messages[-1].text]
        plans = rows(tmp_path, "SELECT step, arm FROM plans WHERE new_approach ORDER BY step")
        assert len(plans) >= 2
        assert all(arm.startswith("openai/dear[") and arm.endswith("/full") for _, arm in plans), plans
        assert all(later - earlier >= 5 for (earlier, _), (later, _) in itertools.pairwise(plans))
        assert {one.model for one in asked} == {"dear"}
        assert len(asked) == len(plans)
        assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_an_arm_for_new_approaches_that_there_is_not_is_refused(tmp_path):
    with ModelServer(improver) as server, pytest.raises(ConfigError, match=r"stagnation\.arm: no arm that asks a model begins"):
        run(server, tmp_path, settings={"stagnation": {"after": 40, "arm": "anthropic/"}})


def test_counted_notes_are_recorded_and_stand_in_the_prompts_of_the_plans_that_saw_them(tmp_path):
    with ModelServer(improver) as server:
        run(server, tmp_path, settings={"insight": {"every": 4}})
    with Archive.open(tmp_path / "a.db") as archive:
        notes, replies = archive.notes(1), archive.replies(1)
    assert [(note.about, note.version, note.source) for note in notes] == [(4, 4, COUNTED), (8, 8, COUNTED), (12, 12, COUNTED)]
    seen = dict(rows(tmp_path, "SELECT step, version FROM plans"))
    assert any(version >= 4 for version in seen.values())
    for (step, _), reply in replies.items():
        assert (NOTES in reply.prompt) == (seen[step] >= 4), step
        assert ("Of 8 steps" in reply.prompt) == (8 <= seen[step] < 12), step


def test_a_run_with_notes_that_is_taken_up_goes_on_with_them_and_repeats(tmp_path):
    insight = {"insight": {"every": 4}}
    with ModelServer(improver) as server:
        run(server, tmp_path, settings=insight, steps=6)
        evolve.resume(archive=tmp_path / "a.db", steps=12)
    with Archive.open(tmp_path / "a.db") as archive:
        assert [note.about for note in archive.notes(1)] == [4, 8, 12]
        assert archive.notes(1)[-1].text.startswith("Of 12 steps")
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_a_model_s_note_is_paid_recorded_and_no_step_s_cost(tmp_path):
    with ModelServer(noter) as server:
        insight = {"insight": {"every": 4, "model": f"openai/noter[price=1/10]@{server.url}"}}
        made = run(server, tmp_path, specs=("scripted[kinds=full,price=2/20]",), settings=insight, budget_usd=2.0, steps=16)
        asked = [one for one in server.asked if is_note(one)]
    assert 1 <= len(asked) <= 3
    assert {one.model for one in asked} == {"noter"}
    with Archive.open(tmp_path / "a.db") as archive:
        notes, replies = archive.notes(1), archive.replies(1)
    written = [note for note in notes if note.source == "openai/noter"]
    assert len(written) == len(asked)
    assert all(note.text == "- Halve the distance.\n- Nothing else helps." and note.version > note.about for note in written)
    seen = dict(rows(tmp_path, "SELECT step, version FROM plans"))
    for (step, _), reply in replies.items():
        assert ("Nothing else helps" in reply.prompt) == (seen[step] >= written[0].version), step
    shown = made.summary()
    [(of_notes,)] = rows(tmp_path, "SELECT sum(usd) FROM call_ends WHERE attempt = -1")
    [(paid,)] = rows(tmp_path, "SELECT sum(usd) FROM call_ends")
    assert of_notes > 0
    assert shown["usd"] == pytest.approx(paid)
    assert sum(arm["usd"] for arm in shown["arms"].values()) == pytest.approx(paid - of_notes)
    assert sum(step["usd"] for step in made.steps()) == pytest.approx(paid - of_notes)
    assert shown["calls"] == len(server.asked)
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_a_note_s_model_that_fails_leaves_what_was_counted_and_the_run_goes_on(tmp_path):
    with ModelServer(lambda asked: Answer(fault=Fault.BAD_KEY) if is_note(asked) else improver(asked)) as server:
        insight = {"insight": {"every": 4, "model": f"openai/noter[price=0]@{server.url}"}}
        made = run(server, tmp_path, settings=insight)
    assert made.summary()["outcomes"] == {"ok": 12}
    with Archive.open(tmp_path / "a.db") as archive:
        notes = archive.notes(1)
    assert notes
    assert {note.source for note in notes} == {COUNTED}
    assert notes[0].error
    assert notes[0].text.startswith("Of ")


def test_variants_of_the_prompt_are_arms(tmp_path):
    with ModelServer(improver) as server:
        made = run(server, tmp_path, specs=("scripted[kinds=full,prompts=default+bold]",))
        told = {"Rewrite its core" in one.messages[0].text for one in server.asked}
    assert {name.rpartition("/")[2] for name in made.summary()["arms"]} == {"default", "bold"}
    assert told == {True, False}
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_an_unknown_variant_names_the_nearest(tmp_path):
    with ModelServer(improver) as server, pytest.raises(ConfigError, match=r"unknown variant of the prompt 'blod'.*'bold'"):
        run(server, tmp_path, specs=("scripted[kinds=full,prompts=blod]",))
