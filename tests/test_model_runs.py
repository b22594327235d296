"""Whole runs with language models, over real HTTP on loopback: what is asked, paid, recorded, repeated and survived."""

import json
import logging
import os
import signal
import sqlite3
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import PARABOLA
from model_kit import CANARY, improver, sometimes, source

import evolve
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.errors import ConfigError, ModelError
from evolve.evaluators import Score
from evolve.llm.base import Finish, Usage
from evolve.settings import merged
from evolve.testing.model_server import Answer, Fault, ModelServer

IMPATIENT = {
    "calls": {"give_up_s": 0.5, "first_wait_s": 0.01, "max_wait_s": 0.05, "cooldown_s": 0.05},
    "stages": {"patience_s": 2.0},
}


def run_with(server: ModelServer, where: Path, *, settings: str = "kinds=full", settings_more=None, **more):
    spec = f"openai/scripted[{settings}]@{server.url}"
    options = {"steps": 8, "seed": 3, "arms": [spec], "settings": merged(IMPATIENT, settings_more or {}), **more}
    return evolve.run(str(PARABOLA), archive=where / "a.db", **options)


def test_a_model_improves_a_program_and_everything_is_recorded(tmp_path):
    with ModelServer(improver) as server:
        shown = run_with(server, tmp_path, settings="kinds=full,price=1/10", budget_usd=1.0).summary()
    assert shown["status"] == "finished"
    assert shown["best"]["objective"] < 1.5
    assert shown["calls"] == len(server.asked) >= 8
    assert shown["tokens"] > 0
    [(name, arm)] = shown["arms"].items()
    assert name.startswith("openai/scripted[kinds=full,price=1/10]@127.0.0.1:")
    assert arm["usd"] == pytest.approx(shown["usd"])
    assert arm["usd"] > 0
    assert arm["improvements"] > 0


def test_what_was_spent_is_what_the_provider_would_bill(tmp_path):
    with ModelServer(improver) as server:
        run = run_with(server, tmp_path, settings="kinds=full,price=1/10", budget_usd=1.0)
    with sqlite3.connect(tmp_path / "a.db") as connection:
        rows = connection.execute("SELECT tokens_in, tokens_out, usd, presumed FROM call_ends").fetchall()
    assert len(rows) == len(server.asked)
    assert run.summary()["usd"] == pytest.approx(sum(tokens_in * 1e-6 + out * 1e-5 for tokens_in, out, *_ in rows))
    assert not any(presumed for *_, presumed in rows)


def test_search_and_replace_is_applied(tmp_path):
    with ModelServer(improver) as server:
        shown = run_with(server, tmp_path, settings="kinds=diff").summary()
    assert shown["best"]["objective"] < 1.5
    assert "edit_failed" not in shown["outcomes"]


def test_every_edit_kind_is_an_arm(tmp_path):
    with ModelServer(improver) as server:
        shown = run_with(server, tmp_path, settings="", steps=20).summary()
    assert {name.rpartition("/")[2] for name in shown["arms"]} == {"diff", "full", "cross", "repair"}
    assert all(arm["pulls"] for arm in shown["arms"].values())


def test_a_reply_that_cannot_be_applied_is_sent_back_with_the_reason(tmp_path):
    def forgetful(asked):
        if len(asked.messages) <= 2:
            return Answer("<<<<<<< SEARCH\n    return 77.0\n=======\n    return 2.0\n>>>>>>> REPLACE\n")
        return improver(asked)

    with ModelServer(forgetful) as server:
        shown = run_with(server, tmp_path, settings="kinds=diff", steps=2).summary()
    retry = next(asked for asked in server.asked if len(asked.messages) > 2)
    assert "return 77.0" in retry.messages[-2].text
    assert "return 1.0" in retry.messages[-1].text  # the closest lines of the parent
    assert shown["outcomes"] == {"ok": 2}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer("no code today"), "no fenced block"),
        (Answer("```python\ndef where():\n    retu", finish=Finish.LENGTH), "cut off"),
        (Answer("", finish=Finish.REFUSED), "refusal"),
        (Answer("   \n"), "empty"),
    ],
)
def test_a_model_that_answers_garbage_ends_in_failed_edits_and_never_in_an_exception(tmp_path, answer, said):
    with ModelServer(lambda asked: answer) as server:
        run = run_with(server, tmp_path, steps=2)
    assert run.summary()["outcomes"] == {"edit_failed": 2}
    with Archive.open(tmp_path / "a.db") as archive:
        failures = [attempt["edit_failure"] for attempt in evolve_attempts(archive, 1)]
    assert len(failures) == 3
    assert all(said in failure for failure in failures), failures


def evolve_attempts(archive, step):
    from evolve.archive.queries import attempts

    return attempts(archive, 1, step)


def test_a_replay_is_identical_and_asks_nobody(tmp_path):
    with ModelServer(sometimes(Answer("nothing"), every=5)) as server:
        run_with(server, tmp_path, settings="kinds=full+diff,price=1/10", budget_usd=1.0, steps=15)
        asked = len(server.asked)
        replayed = evolve.replay(archive=tmp_path / "a.db")
        assert len(server.asked) == asked
    assert replayed.differences == ()
    assert replayed.steps == 15


def test_a_replay_needs_neither_key_nor_server(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", CANARY)
    with ModelServer(improver) as server:
        run_with(server, tmp_path, settings="kinds=full,key_env=SOME_KEY")
        assert {asked.key for asked in server.asked} == {CANARY}
    monkeypatch.delenv("SOME_KEY")
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_an_identical_request_is_answered_from_the_archive_when_asked_to(tmp_path):
    settings = {**IMPATIENT, "cache": True}
    with ModelServer(improver) as server:
        first = run_with(server, tmp_path, settings="kinds=full,price=1/10", budget_usd=1.0, order="strict", **{"steps": 6}).steps()
        asked = len(server.asked)
        spec = f"openai/scripted[kinds=full,price=1/10]@{server.url}"
        again = evolve.run(
            str(PARABOLA),
            steps=6,
            seed=3,
            arms=[spec],
            budget_usd=1.0,
            order="strict",
            settings=settings,
            archive=tmp_path / "a.db",
        )
        assert len(server.asked) == asked
    assert again.summary()["usd"] == 0
    assert [row["source_sha256"] for row in again.steps()] == [row["source_sha256"] for row in first]


# Money


def test_sixteen_calls_in_flight_never_exceed_the_cap(tmp_path):
    with ModelServer(lambda asked: Answer(improver(asked).text, before=0.02)) as server:
        run = run_with(
            server,
            tmp_path,
            settings="kinds=full,price=10/10,max_tokens=200",
            budget_usd=0.3,
            steps=200,
            settings_more={"stages": {"proposals": 16}},
        )
        assert server.most_in_flight > 4
    shown = run.summary()
    assert 0.2 < shown["usd"] <= 0.3
    assert shown["status"] == "stopped"
    assert run.ending.reason.startswith("budget_usd is spent")


@pytest.mark.parametrize("usage", [Usage(), Usage(300, 0, 0), Usage(0, 0, 50)])
def test_a_server_that_counts_zero_tokens_is_not_free(tmp_path, usage):
    with ModelServer(lambda asked: Answer(improver(asked).text, usage=usage)) as server:
        run = run_with(server, tmp_path, settings="kinds=full,price=10/10,max_tokens=200", budget_usd=0.3, steps=200)
    shown = run.summary()
    assert 0.2 < shown["usd"] <= 0.3
    assert shown["status"] == "stopped"
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("SELECT min(presumed), min(usd) > 0 FROM call_ends").fetchone() == (1, 1)


def test_a_budget_of_one_cent_stops_before_anything_is_spent_beyond_it(cli, tmp_path):
    with ModelServer(improver) as server:
        words = ["--steps", 5, "--arm", f"openai/scripted[price=100/1000]@{server.url}", "--budget-usd", 0.01]
        answer = cli("run", PARABOLA, *words, status=3)
    assert "warning" in answer.err
    assert "--budget-usd" in answer.err or "budget" in answer.err
    assert server.asked == []


def test_an_unknown_price_is_an_error_under_a_dollar_budget(tmp_path):
    with ModelServer(improver) as server, pytest.raises(ConfigError, match="price="):
        run_with(server, tmp_path, budget_usd=1.0)
    assert not (tmp_path / "a.db").exists()


def test_a_larger_budget_goes_on_where_a_smaller_one_stopped(tmp_path):
    with ModelServer(improver) as server:
        run = run_with(server, tmp_path, settings="kinds=full,price=10/10,max_tokens=200", budget_usd=0.05, steps=12)
        stopped = run.summary()
        done = evolve.resume(archive=tmp_path / "a.db", budget_usd=5.0)
    assert stopped["steps"]["done"] < 12
    assert done.summary()["status"] == "finished"
    assert done.summary()["steps"]["done"] == 12
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("SELECT count(*) FROM call_ends").fetchone()[0] == len(server.asked)


def test_a_budget_given_to_resume_is_kept_by_the_next_resume(tmp_path):
    with ModelServer(improver) as server:
        run_with(server, tmp_path, settings="kinds=full,price=10/10,max_tokens=200", budget_usd=5.0, steps=2)
        small = evolve.resume(archive=tmp_path / "a.db", steps=40, budget_usd=0.05).summary()
        again = evolve.resume(archive=tmp_path / "a.db").summary()
    assert small["status"] == again["status"] == "stopped"
    assert again["usd"] <= 0.05


# What goes wrong


def test_faults_are_retried_and_cost_no_step(tmp_path):
    faults = iter([Fault.RATE_LIMITED, Fault.SERVER_ERROR, Fault.CUT, Fault.NOT_JSON, Fault.NO_BODY] * 3)

    def flaky(asked):
        return Answer(fault=next(faults)) if asked.number % 2 else improver(asked)

    with ModelServer(flaky) as server:
        shown = run_with(server, tmp_path, steps=6).summary()
    assert shown["outcomes"].get("model_failed", 0) == 0
    assert shown["steps"]["done"] == 6


def test_a_wrong_key_ends_the_run_with_a_word_and_status_1(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", CANARY)
    with ModelServer(lambda asked: Answer(fault=Fault.BAD_KEY)) as server:
        answer = cli("run", PARABOLA, "--steps", 5, "--arm", f"openai/scripted[kinds=full,key_env=SOME_KEY]@{server.url}", status=1)
    assert "SOME_KEY" in answer.err
    assert "evolve resume" in answer.err
    assert CANARY not in answer.err + answer.out
    assert len(server.asked) <= 8


def test_an_unknown_model_ends_the_run_with_its_name(cli, tmp_path):
    with ModelServer(lambda asked: Answer(fault=Fault.UNKNOWN_MODEL)) as server:
        answer = cli("run", PARABOLA, "--steps", 5, "--arm", f"openai/scripted[kinds=full]@{server.url}", status=1)
    assert "openai/scripted" in answer.err


def test_a_model_that_takes_no_request_ends_the_run_with_its_words_and_the_run_can_be_resumed(cli, tmp_path):
    words = "temperature 0.3 is not for this model"
    takes_it = threading.Event()

    def script(asked):
        return improver(asked) if takes_it.is_set() else Answer(fault=Fault.BAD_SETTING, words=words)

    with ModelServer(script) as server:
        spec = f"openai/scripted[kinds=full]@{server.url}"
        answer = cli("run", PARABOLA, "--steps", 12, "--arm", spec, status=1)
        refused = len(server.asked)
        with Archive.open(tmp_path / "evolve.db") as archive:
            failed = summary(archive, 1)
        takes_it.set()
        done = evolve.resume(archive=tmp_path / "evolve.db").summary()
    assert words in answer.err
    assert "evolve resume" in answer.err
    assert refused <= 3 + 4  # those that were in flight when the third was refused
    assert failed["status"] == "failed"
    assert failed["steps"]["done"] <= 2
    assert done["status"] == "finished"
    assert done["outcomes"]["ok"] >= 10


def test_three_requests_refused_while_the_first_answer_is_under_way_do_not_end_a_run(tmp_path):
    def script(asked):
        if 1 <= asked.number <= 3:
            return Answer(fault=Fault.BAD_SETTING)
        return Answer(improver(asked).text, before=0.5 if asked.number == 0 else None)

    with ModelServer(script) as server:
        shown = run_with(server, tmp_path, steps=8).summary()
    assert (shown["status"], shown["steps"]["done"]) == ("finished", 8)
    assert shown["outcomes"].get("model_failed", 0) <= 3


def test_an_unreachable_host_pauses_the_run_and_then_gives_it_up_with_all_steps_kept(tmp_path):
    with ModelServer(improver) as server:
        url = server.url
    spec = f"openai/scripted[kinds=full]@{url}"
    with pytest.raises(ModelError, match="no arm can be pulled"):
        evolve.run(str(PARABOLA), steps=4, arms=[spec], settings=IMPATIENT, archive=tmp_path / "a.db")
    with Archive.open(tmp_path / "a.db") as archive:
        _, pending = archive.history(1)
    assert [step.plan.step for step in pending] == [1, 2, 3, 4]


def test_an_outage_in_mid_run_costs_no_step(tmp_path):
    def outage(asked):
        return Answer(fault=Fault.UNAVAILABLE) if 4 <= asked.number < 10 else improver(asked)

    with ModelServer(outage) as server:
        shown = run_with(server, tmp_path, steps=12, settings="kinds=full").summary()
    assert shown["steps"]["done"] == 12
    assert shown["outcomes"].get("model_failed", 0) == 0


def test_local_arms_go_on_when_the_model_is_down(tmp_path):
    with ModelServer(lambda asked: Answer(fault=Fault.UNAVAILABLE)) as server:
        spec = f"openai/scripted[kinds=full]@{server.url}"
        shown = run_with(server, tmp_path, arms=[spec, "local"], steps=60).summary()
    assert shown["steps"]["done"] == 60
    assert shown["outcomes"]["ok"] > 20
    assert shown["outcomes"].get("model_failed", 0) < 10


def test_steps_of_a_model_that_is_down_hold_up_no_other_arm_and_go_on_when_it_is_back(tmp_path):
    """All that may be in flight are the model's when it goes down; the local arm has to get through all the same."""

    class Mends:
        def settled(self, addition, finished, search):
            if finished.plan is not None and finished.plan.arm == "local/literals":
                local.append(addition.step)
            if len(local) == 30:
                up.set()

    up, local = threading.Event(), []
    with ModelServer(lambda asked: improver(asked) if up.is_set() else Answer(fault=Fault.UNAVAILABLE)) as server:
        spec = f"openai/scripted[kinds=full]@{server.url}"
        options = {"steps": 60, "arms": [spec, "local/literals"], "watcher": Mends(), "settings_more": {"calls": {"give_up_s": 60}}}
        shown = run_with(server, tmp_path, **options).summary()
    assert shown["steps"]["done"] == 60
    assert shown["outcomes"].get("model_failed", 0) == 0
    assert shown["outcomes"]["ok"] > 30
    with Archive.open(tmp_path / "a.db") as archive:
        settled, _ = archive.history(1)
    assert any(item.addition.outcome == "ok" for item in settled if item.plan is not None and item.plan.arm.startswith("openai/"))


def test_other_arms_fill_in_while_a_model_has_no_free_turn(tmp_path):
    class Releases:
        def settled(self, addition, finished, search):
            if addition.step >= 40:
                release.set()

    release = threading.Event()
    with ModelServer(lambda asked: replace(improver(asked), before=release)) as server:
        spec = f"openai/scripted[kinds=full,concurrency=1]@{server.url}"
        options = {"steps": 60, "arms": [spec, "local/literals"], "watcher": Releases()}
        run_with(server, tmp_path, **options, settings_more={"stages": {"fill_in": True}})
    assert release.is_set()
    with Archive.open(tmp_path / "a.db") as archive:
        settled, _ = archive.history(1)
    asked = [item.plan.step for item in settled if item.plan is not None and item.plan.arm.startswith("openai/")]
    assert len([step for step in asked if step <= 40]) == 1


def test_arms_of_one_model_share_its_limits(tmp_path):
    with ModelServer(lambda asked: replace(improver(asked), before=0.02)) as server:
        arms = [f"openai/scripted[kinds=full,{more}]@{server.url}" for more in ("concurrency=1", "temperature=0.5")]
        run_with(server, tmp_path, arms=arms, steps=8)
    assert server.most_in_flight == 1
    assert {asked.temperature for asked in server.asked} >= {0.5}


def test_a_budget_that_is_spent_ends_a_run_whose_other_models_are_free(tmp_path):
    with ModelServer(improver) as server:
        arms = [f"openai/{name}[kinds=full,price={price}]@{server.url}" for name, price in (("paid", "1/100"), ("free", "0"))]
        shown = run_with(server, tmp_path, arms=arms, steps=50, budget_usd=0.01).summary()
    assert shown["status"] == "stopped"
    assert shown["steps"]["done"] < 50


def test_a_step_that_no_model_answered_is_asked_again_when_the_run_stopped_before_it_was_added(tmp_path):
    """In strict order a step waits for the ones before it; what became of it must not be on disk before it is added."""

    class Interrupts(logging.Handler):
        def emit(self, record):
            if record.getMessage().startswith("step 2:"):
                os.kill(os.getpid(), signal.SIGINT)
                failed.set()

    def script(asked):
        if asked.model == "slow":
            return replace(improver(asked), before=failed)
        return improver(asked) if failed.is_set() else Answer(fault=Fault.BAD_SETTING)

    failed, handler = threading.Event(), Interrupts()
    logging.getLogger("evolve.loop").addHandler(handler)
    try:
        with ModelServer(script) as server:
            arms = [f"openai/{name}[kinds=full]@{server.url}" for name in ("slow", "broken")]
            stopped = run_with(server, tmp_path, arms=arms, steps=2, order="strict", settings_more={"lag": 2})
            assert stopped.summary()["steps"]["done"] == 0
            resumed = evolve.resume(stopped.summary()["name"], archive=tmp_path / "a.db")
    finally:
        logging.getLogger("evolve.loop").removeHandler(handler)
    assert failed.is_set()
    assert resumed.summary()["outcomes"] == {"ok": 2}
    assert all(len(asked.messages) == 2 for asked in server.asked)  # no complaint about an earlier answer


def test_a_prompt_longer_than_the_context_is_shortened(tmp_path):
    def cramped(asked):
        length = sum(len(message.text) for message in asked.messages)
        lengths.append(length)
        return Answer(fault=Fault.OVERFLOW_OF_LLAMA_CPP) if length >= lengths[0] else improver(asked)

    def talkative(program):
        return Score(-((program.call("where") - 3) ** 2), feedback="a line of feedback\n" * 80)

    lengths: list[int] = []
    task = evolve.inline_task("talk", source(1.0), talkative)
    with ModelServer(cramped) as server:
        spec = f"openai/scripted[kinds=full]@{server.url}"
        done = evolve.run(task, steps=1, arms=[spec], settings=IMPATIENT, archive=tmp_path / "a.db")
    assert done.summary()["outcomes"] == {"ok": 1}
    assert len(server.asked) == 2


def test_a_missing_key_is_refused_before_anything_is_on_disk(cli, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    answer = cli("run", PARABOLA, "--arm", "openai/gpt-5-mini", "--budget-usd", 1, status=2)
    assert "OPENAI_API_KEY" in answer.err
    assert not (tmp_path / "evolve.db").exists()


def test_no_key_is_written_anywhere(cli, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("SOME_KEY", CANARY)
    caplog.set_level("DEBUG")
    script = sometimes(Answer(fault=Fault.SERVER_ERROR, words=f"key {CANARY} is fine"), every=3)
    with ModelServer(script) as server:
        spec = f"openai/scripted[kinds=full,key_env=SOME_KEY]@{server.url}"
        answer = cli("run", PARABOLA, "--steps", 6, "--arm", spec, "--verbose")
    assert {asked.key for asked in server.asked} == {CANARY}
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
    with Archive.open(tmp_path / "evolve.db") as archive, archive.read() as connection:
        from sqlalchemy import select

        from evolve.archive.tables import texts

        hashes = list(connection.execute(select(texts.c.hash)).scalars())
        assert not any(CANARY in text for text in archive.texts.read(connection, hashes).values())
    assert CANARY not in answer.err + answer.out + caplog.text
    assert not any(CANARY in message.text for asked in server.asked for message in asked.messages)


def test_a_program_does_not_see_a_key(tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_KEY", CANARY)
    snooper = (
        "```python\n# EVOLVE-BLOCK-START\ndef where():\n    import os\n"
        "    return 2.0 if any('canary' in value for value in os.environ.values()) else 2.5\n\n\n# EVOLVE-BLOCK-END\n```\n"
    )
    with ModelServer(lambda asked: Answer(snooper)) as server:
        run = run_with(server, tmp_path, settings="kinds=full,key_env=SOME_KEY", steps=1)
    assert run.best_evaluation.metrics["x"].value == 2.5


# People


def test_advice_reaches_the_prompts_of_a_live_run(tmp_path):
    told = threading.Event()

    def watched(asked):
        if asked.number == 2:
            evolve.steer(None, "Try the number three.", archive=tmp_path / "a.db")
            told.set()
        return improver(asked)

    with ModelServer(watched) as server:
        run_with(server, tmp_path, steps=10)
    assert told.is_set()
    texts = ["\n".join(message.text for message in asked.messages) for asked in server.asked]
    assert not any("Try the number three." in text for text in texts[:3])
    assert "Try the number three." in texts[-1]


def test_a_killed_run_asks_for_nothing_twice(tmp_path):
    import signal
    import subprocess

    def script(asked):
        return Answer(improver(asked).text, before=0.02)

    with ModelServer(script) as server:
        spec = f"openai/scripted[kinds=full,price=1/10]@{server.url}"
        words = [
            "run",
            str(PARABOLA),
            "--steps",
            "30",
            "--arm",
            spec,
            "--budget-usd",
            "1",
            "--quiet",
            "--archive",
            str(tmp_path / "a.db"),
        ]
        command = [sys.executable, "-m", "evolve.cli"]
        process = subprocess.Popen([*command, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for target in (5, 12, 20):
            server.wait_until(lambda server, target=target: len(server.asked) >= target)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            words = ["resume", "--quiet", "--archive", str(tmp_path / "a.db")]
            process = subprocess.Popen([*command, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert process.wait(timeout=60) == 0
    with sqlite3.connect(tmp_path / "a.db") as connection:
        calls = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
        ends = connection.execute("SELECT count(*) FROM call_ends").fetchone()[0]
        replies = connection.execute("SELECT count(*) FROM replies").fetchone()[0]
    assert replies >= 30
    # Nothing is asked again but what was in flight at one of the three kills: four calls at most each time.
    assert len(server.asked) - replies <= 3 * 4
    assert calls - ends <= 3 * 4
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_model_arms_wait_for_nobody_by_default(tmp_path):
    from evolve.config import RunConfig

    assert not RunConfig(arms=("openai/x@http://127.0.0.1:1/v1",)).strict


def test_the_prompt_of_a_program_can_be_read(cli, tmp_path):
    with ModelServer(improver) as server:
        cli("run", PARABOLA, "--steps", 3, "--arm", f"openai/scripted[kinds=full]@{server.url}", "--quiet")
    shown = cli("program", "best", "--prompt").out
    assert "system" in shown
    assert "def where():" in shown
    assert "I move the number closer." in shown
    assert json.loads(cli("program", "best", "--json").out)["attempts"][0]["prompt"]


def test_the_text_of_prompts_is_hashed_into_the_archive(tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "system.md").write_text("You mend programs.\n")
    with ModelServer(improver) as server:
        run_with(server, tmp_path, steps=1)
        more = {"prompts": {"templates": str(tmp_path / "words")}}
        run_with(server, tmp_path, steps=1, settings_more=more)
    with Archive.open(tmp_path / "a.db") as archive:
        first, second = (archive.run_record(number).versions["prompts"] for number in (1, 2))
    assert first != second
    assert server.asked[-1].messages[0].text.startswith("You mend programs.")


def test_what_was_spent_is_shown_while_it_is_spent_and_afterwards(cli, tmp_path):
    with ModelServer(improver) as server:
        words = ["--steps", 3, "--arm", f"openai/scripted[kinds=full,price=100/1000]@{server.url}", "--budget-usd", 50]
        told = cli("run", PARABOLA, *words).err
    assert " usd" in told.splitlines()[-1] or any(line.endswith(" usd") for line in told.splitlines())
    assert " of 50 usd, 3 replies, " in cli("show").out
