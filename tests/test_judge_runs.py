"""Whole runs in which a model judges borderline children, over real HTTP on loopback."""

import logging
import signal
import sqlite3
import subprocess
import sys
import threading
import zlib

import pytest
from conftest import PARABOLA
from model_kit import improver, rewrite

import evolve
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.errors import ConfigError
from evolve.settings import merged
from evolve.testing.model_server import Answer, Fault, ModelServer

IMPATIENT = {"calls": {"give_up_s": 0.5, "max_attempts": 2, "first_wait_s": 0.01, "max_wait_s": 0.05, "cooldown_s": 0.05}}
#: Everything that the limit lets pass is borderline.
WIDE = {"borderline": 1e9}
#: Which of the judge's calls a run is killed over.
_HELD = 9


def is_judge(asked):
    return asked.messages[-1].text.startswith("Two versions of one program are compared")


def judged(server):
    """What the judge was asked, in order."""
    return [one.messages[-1].text for one in server.asked if is_judge(one)]


def script(verdict, then=improver):
    """Answers judges by a text or a function, and arms by another script."""

    def answer(asked):
        if not is_judge(asked):
            return then(asked)
        return verdict(asked) if callable(verdict) else Answer(verdict)

    return answer


def by_chance(asked):
    """A judge whose verdict follows from what it is told."""
    same = zlib.crc32(asked.messages[-1].text.encode()) % 2
    return Answer("SAME: both return a number" if same else "DIFFERENT: the number is another")


def run(server, where, *, judge="judge[price=0]", settings=None, name="a.db", arms=None, novelty=None, **more):
    table = {"novelty": {"judge": f"openai/{judge}@{server.url}", **WIDE, **(novelty or {})}}
    options = {"steps": 8, "seed": 3, "arms": arms or [f"openai/scripted[kinds=full,price=0]@{server.url}"], **more}
    return evolve.run(str(PARABOLA), archive=where / name, settings=merged(merged(IMPATIENT, table), settings or {}), **options)


def rows(where, query, name="a.db"):
    with sqlite3.connect(where / name) as connection:
        return connection.execute(query).fetchall()


def test_a_child_that_does_the_same_is_rejected_and_its_model_is_told_so(tmp_path):
    with ModelServer(script("SAME: both return a number")) as server:
        made = run(server, tmp_path, steps=2)
        told = [message.text for one in server.asked if not is_judge(one) for message in one.messages]
    shown = made.summary()
    assert shown["outcomes"] == {"rejected": 2}
    assert shown["evaluated"] == 0
    assert set(rows(tmp_path, "SELECT verdict FROM screens")) == {("near",)}
    assert set(rows(tmp_path, "SELECT found, why, error FROM judgements")) == {("same", "both return a number", "")}
    assert any("this does the same as program" in text and "both return a number" in text for text in told)
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_a_child_that_does_something_else_is_evaluated(tmp_path):
    with ModelServer(script("DIFFERENT: the number is another")) as server:
        made = run(server, tmp_path)
        asked = len(judged(server))
    shown = made.summary()
    assert shown["outcomes"] == {"ok": 8}
    counts = {key: shown["judge"][key] for key in ("calls", "same", "different", "unknown")}
    assert counts == {"calls": asked, "same": 0, "different": asked, "unknown": 0}
    assert asked == len(rows(tmp_path, "SELECT * FROM judgements")) == 8


def test_the_judge_sees_both_programs_and_only_the_text_that_may_change(tmp_path):
    with ModelServer(script("DIFFERENT")) as server:
        run(server, tmp_path, steps=1)
        [text] = judged(server)
    assert "EVOLVE-BLOCK" not in text
    known, _, differs = text.partition("# What differs") if "# What differs" in text else text.partition("# The new version")
    assert known.count("return ") == 1
    assert "return " in differs


def test_children_beyond_the_border_are_nobodys_business(tmp_path):
    with ModelServer(script("SAME")) as server:
        made = run(server, tmp_path, novelty={"borderline": 1.0001})
        assert judged(server) == []
    assert made.summary()["judge"] == {"calls": 0, "tokens": 0, "same": 0, "different": 0, "unknown": 0, "usd": 0.0}


def test_a_similarity_of_one_s_own_has_the_same_band(tmp_path):
    with ModelServer(script("DIFFERENT")) as server:
        run(server, tmp_path, steps=3, novelty={"max_similarity": 0.9999999, "calibrate": False, "borderline": 1e7})
        assert len(judged(server)) == 3


@pytest.mark.parametrize("answer", ["Perhaps.", "SAME or DIFFERENT, who knows", "SAME: yes\nDIFFERENT: no", ""])
def test_an_answer_that_cannot_be_read_lets_the_child_pass(tmp_path, answer, caplog):
    with ModelServer(script(answer)) as server, caplog.at_level(logging.WARNING):
        made = run(server, tmp_path, steps=3)
    shown = made.summary()
    assert shown["outcomes"] == {"ok": 3}
    assert (shown["judge"]["unknown"], shown["judge"]["calls"]) == (3, 3)
    assert all("neither SAME nor DIFFERENT" in error for (error,) in rows(tmp_path, "SELECT error FROM judgements"))
    assert sum("this child passes for new" in record.message for record in caplog.records) == 1
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_a_judge_that_is_down_lets_children_pass_and_is_warned_of_once(cli, tmp_path, caplog):
    with ModelServer(script(lambda _: Answer(fault=Fault.UNAVAILABLE))) as server, caplog.at_level(logging.WARNING):
        made = run(server, tmp_path)
    shown = made.summary()
    assert shown["outcomes"] == {"ok": 8}
    assert (shown["judge"]["unknown"], shown["judge"]["calls"]) == (8, 0)
    assert sum("this child passes for new" in record.message for record in caplog.records) == 1
    assert "8 were not judged, and passed" in " ".join(cli("show", "--archive", tmp_path / "a.db").out.split())
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_a_prompt_that_has_no_room_lets_the_child_pass(tmp_path):
    with ModelServer(script("SAME")) as server:
        made = run(server, tmp_path, judge="judge[price=0,context=700,max_tokens=256]", steps=2)
        assert judged(server) == []
    assert made.summary()["judge"]["unknown"] == 2
    assert all("does not fit" in error for (error,) in rows(tmp_path, "SELECT error FROM judgements"))


def test_without_dollars_children_pass_and_the_run_goes_on(tmp_path):
    with ModelServer(script("DIFFERENT")) as server:
        made = run(server, tmp_path, judge="judge[call_usd=0.4]", budget_usd=1.0)
        assert len(judged(server)) == 2
    shown = made.summary()
    assert shown["outcomes"] == {"ok": 8}
    assert shown["usd"] <= 1.0
    assert (shown["judge"]["different"], shown["judge"]["unknown"]) == (2, 6)
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_judgements_are_paid_within_the_budget_and_are_no_step_s_cost(tmp_path):
    with ModelServer(script(by_chance)) as server:
        arm = f"openai/scripted[kinds=full,price=1/10]@{server.url}"
        made = run(server, tmp_path, judge="judge[price=2/5]", arms=[arm], budget_usd=5.0)
        n_judged, n_all = len(judged(server)), len(server.asked)
    shown = made.summary()
    [(calls, usd, tokens)] = rows(tmp_path, "SELECT count(*), sum(usd), sum(tokens_in + tokens_out) FROM judge_call_ends")
    assert calls == n_judged == shown["judge"]["calls"]
    assert (shown["judge"]["tokens"], shown["judge"]["usd"]) == (tokens, pytest.approx(usd))
    assert usd > 0
    assert shown["calls"] == n_all
    assert shown["usd"] == pytest.approx(usd + sum(step["usd"] for step in made.steps()))
    reserved = rows(
        tmp_path, "SELECT min(reserved_usd - usd) FROM judge_calls JOIN judge_call_ends USING (run, step, attempt, number)"
    )
    assert reserved[0][0] >= 0


def test_show_says_what_a_judge_found_and_what_it_cost(cli, tmp_path):
    with ModelServer(script("DIFFERENT")) as server:
        run(server, tmp_path, steps=3)
    out = " ".join(cli("show", "--archive", tmp_path / "a.db").out.split())
    assert "judge 0.0000 usd of that, 3 calls; 3 borderline children judged, 0 copies" in out


def test_a_replay_takes_judgements_from_the_record_and_asks_nobody(tmp_path):
    with ModelServer(script(by_chance)) as server:
        run(server, tmp_path, steps=12)
        asked = len(server.asked)
        found = {found for (found,) in rows(tmp_path, "SELECT found FROM judgements")}
        assert found == {"same", "different"}
        assert evolve.replay(archive=tmp_path / "a.db").differences == ()
        assert len(server.asked) == asked
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_a_replay_wants_no_key(tmp_path, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", "k")
    with ModelServer(script(by_chance)) as server:
        run(server, tmp_path, judge="judge[price=0,key_env=JUDGE_KEY]", steps=4)
    monkeypatch.delenv("JUDGE_KEY")
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_a_run_that_is_taken_up_asks_about_nothing_that_was_judged(tmp_path):
    with ModelServer(script(by_chance)) as server:
        run(server, tmp_path, steps=4)
        evolve.resume(archive=tmp_path / "a.db", steps=9)
        asked = len(judged(server))
    assert asked == len(rows(tmp_path, "SELECT * FROM judge_calls")) == len(rows(tmp_path, "SELECT * FROM judgements"))
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def start(server, where, steps, judge="judge[price=1/10]"):
    """Begins a run in a process of its own."""
    arm = f"openai/scripted[kinds=full,price=1/10]@{server.url}"
    words = ["run", str(PARABOLA), "--steps", str(steps), "--seed", "3", "--arm", arm, "--budget-usd", "5", "--archive", str(where)]
    settings = [f'novelty.judge="openai/{judge}@{server.url}"', "novelty.borderline=1e9"]
    words += [word for setting in settings for word in ("--set", setting)]
    return subprocess.Popen([sys.executable, "-m", "evolve.cli", *words, "--quiet"], stderr=subprocess.DEVNULL)


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait(60)


def test_a_run_that_is_killed_while_a_child_is_judged_pays_for_no_verdict_twice(tmp_path):
    where, reached, never = tmp_path / "a.db", threading.Event(), threading.Event()
    count = 0

    def holds_one(asked):
        nonlocal count
        count += 1
        # Eight steps are open at most, so that some verdicts are on disk by then.
        if count == _HELD:
            reached.set()
        return Answer("DIFFERENT", before=never if count == _HELD else None)

    with ModelServer(script(holds_one)) as server:
        process = start(server, where, 14)
        assert reached.wait(60)
        kill(process)
        before = rows(tmp_path, "SELECT step, attempt FROM judgements")
        evolve.resume(archive=where)
        asked = len(judged(server))
    after = rows(tmp_path, "SELECT step, attempt FROM judgements")
    calls = rows(tmp_path, "SELECT step, attempt FROM judge_calls")
    assert before != []
    assert set(before) < set(after)
    assert len(calls) == asked
    # Asked again was nothing but what was in flight, of which nobody saw the end: it counts with what was reserved.
    assert all(calls.count(key) == 1 for key in before)
    joined = "judge_calls c LEFT JOIN judge_call_ends e USING (run, step, attempt, number)"
    [(lost, counted)] = rows(tmp_path, f"SELECT sum(e.usd IS NULL), sum(coalesce(e.usd, c.reserved_usd)) FROM {joined}")
    assert lost == len(calls) - len(after) >= 1
    with Archive.open(where) as archive:
        assert archive.spent_usd(1) == pytest.approx(counted + summary(archive, 1)["arms"].popitem()[1]["usd"])
    assert rows(tmp_path, "SELECT count(*) FROM additions") == [(15,)]
    assert evolve.replay(archive=where).differences == ()


def test_a_verdict_on_disk_is_told_again_to_the_model_that_is_asked_again(tmp_path):
    where, reached, never = tmp_path / "a.db", threading.Event(), threading.Event()
    held = True

    def holds_the_retry(asked):
        if held and "this does the same as program" in asked.messages[-1].text:
            reached.set()
            return Answer(rewrite(2.5), before=never)
        return improver(asked)

    with ModelServer(script("SAME: a number all the same", holds_the_retry)) as server:
        process = start(server, where, 1)
        assert reached.wait(60)
        kill(process)
        held = False
        first = server.asked[-1].messages[-1].text
        evolve.resume(archive=where)
        again = [one.messages[-1].text for one in server.asked if not is_judge(one)]
    assert again[1:3] == [first, first]
    assert evolve.replay(archive=where).differences == ()


def test_an_answer_is_on_disk_with_its_bill_and_its_screen_or_not_at_all(tmp_path):
    where, reached = tmp_path / "a.db", threading.Event()

    def signals(asked):
        if asked.number > 9:
            reached.set()
        return by_chance(asked)

    with ModelServer(script(signals)) as server:
        process = start(server, where, 200)
        assert reached.wait(60)
        kill(process)
        billed = rows(tmp_path, "SELECT step, attempt FROM judge_call_ends WHERE outcome = 'ok' ORDER BY step, attempt")
        assert billed == rows(tmp_path, "SELECT step, attempt FROM judgements ORDER BY step, attempt")
        assert set(billed) <= set(rows(tmp_path, "SELECT step, attempt FROM screens"))


def test_while_one_child_is_judged_the_next_is_asked_for_and_evaluated(tmp_path):
    chats, next_chat, first = 0, threading.Event(), True

    def asked_again(asked):
        nonlocal chats
        chats += 1
        if chats == 3:
            next_chat.set()
        return improver(asked)

    def waits_for_it(asked):
        nonlocal first
        waits, first = first, False
        return Answer("DIFFERENT", before=next_chat if waits else None)

    with ModelServer(script(waits_for_it, asked_again)) as server:
        made = run(server, tmp_path, judge="judge[price=0,timeout_s=20]", steps=8, settings={"stages": {"proposals": 1}})
    assert made.summary()["judge"]["unknown"] == 0


def test_in_strict_order_the_number_of_workers_does_not_matter(tmp_path):
    with ModelServer(script(by_chance)) as server:
        made = [run(server, tmp_path, arms=["local"], workers=n, name=f"{n}.db", steps=12) for n in (1, 4)]
        assert judged(server) != []
    alike = [
        [{key: value for key, value in step.items() if not key.endswith(("_s", "_at"))} for step in one.steps()] for one in made
    ]
    assert alike[0] == alike[1]


def test_a_run_without_a_limit_says_that_its_judge_is_asked_nothing(tmp_path, caplog):
    def by_comments(text):
        return [1.0, 1.0 if "#" in text or "\n\n" in text else 0.0, 0.001 * len(text)]

    with ModelServer(script("SAME"), embed=by_comments) as server, caplog.at_level(logging.WARNING):
        run(server, tmp_path, steps=3, novelty={"embedder": f"openai/embedder[price=0]@{server.url}"})
        evolve.resume(archive=tmp_path / "a.db", steps=4)
        assert judged(server) == []
    assert "novelty.judge is asked nothing" in caplog.text
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


@pytest.mark.parametrize(
    ("novelty", "words"),
    [
        ({"judge": "openai/gpt-5-nano"}, "OPENAI_API_KEY"),
        ({"judge": "opnai/x"}, "did you mean 'openai'"),
        ({"judge": "agent/claude"}, "novelty.judge: agent/claude is a coding agent"),
        ({"judge": "openai/x[kinds=full]@http://127.0.0.1:9/v1"}, "novelty.judge: openai/x: kinds says nothing to a judge"),
        ({"judge": "openai/x@http://127.0.0.1:9/v1", "calibrate": False}, "a judge needs a limit"),
        ({"judge": "openai/x@http://127.0.0.1:9/v1", "max_similarity": 1.0}, "leaves nothing borderline"),
        ({"borderline": 4.0}, "nobody is asked; name a judge"),
        ({"judge": "openai/x@http://127.0.0.1:9/v1", "borderline": 1.0}, "borderline must be finite and > 1"),
    ],
)
def test_settings_that_cannot_work_are_refused_before_anything_is_on_disk(tmp_path, monkeypatch, novelty, words):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match=words):
        evolve.run(str(PARABOLA), archive=tmp_path / "b.db", settings={"novelty": novelty}, steps=1)
    assert not (tmp_path / "b.db").exists()


def test_a_judge_whose_price_nobody_knows_is_refused_under_a_budget(tmp_path):
    with pytest.raises(ConfigError, match="price of openai/x is not known"):
        evolve.run(
            str(PARABOLA),
            archive=tmp_path / "b.db",
            settings={"novelty": {"judge": "openai/x@http://127.0.0.1:9/v1"}},
            steps=1,
            budget_usd=1.0,
        )
    assert not (tmp_path / "b.db").exists()
