"""Whole runs whose programs a model embeds, over real HTTP on loopback."""

import logging
import sqlite3
import subprocess
import sys
import threading

import pytest
from conftest import PARABOLA
from model_kit import improver, parent_number, rewrite

import evolve
from evolve.archive.store import Archive
from evolve.errors import ConfigError, ModelError
from evolve.settings import merged
from evolve.testing.model_server import Answer, Fault, ModelServer, Wire

IMPATIENT = {"calls": {"give_up_s": 0.5, "max_attempts": 2, "first_wait_s": 0.01, "max_wait_s": 0.05, "cooldown_s": 0.05}}


def run(server, where, *, embedder="embedder[price=0]", settings=None, name="a.db", arms=None, novelty=None, **more):
    table = {"novelty": {"embedder": f"openai/{embedder}@{server.url}", **(novelty or {})}}
    options = {"steps": 8, "seed": 3, "arms": arms or [f"openai/scripted[kinds=full,price=0]@{server.url}"], **more}
    return evolve.run(str(PARABOLA), archive=where / name, settings=merged(merged(IMPATIENT, table), settings or {}), **options)


def rows(where, query, name="a.db"):
    with sqlite3.connect(where / name) as connection:
        return connection.execute(query).fetchall()


def embedded(server):
    """The texts that the server was asked to embed, in order."""
    return [message.text for one in server.asked if one.wire is Wire.EMBEDDINGS for message in one.messages]


def few(asked):
    """Programs of which every second is the same up to layout, and every fourth the same to the letter."""
    number = 2.0 if asked.number % 2 else parent_number(asked) / 2
    return Answer(rewrite(number))


def test_a_run_finds_its_limit_by_the_model_that_embeds_and_screens_by_it(tmp_path):
    with ModelServer(improver) as server:
        run(server, tmp_path)
        texts = embedded(server)
    [(limit,)] = rows(tmp_path, "SELECT min_distance FROM calibrations")
    assert limit > 0
    assert any("return" in text for text in texts)
    assert rows(tmp_path, "SELECT count(*) FROM screens WHERE similarity IS NOT NULL")[0][0] > 0
    assert rows(tmp_path, "SELECT count(*) FROM unembedded") == [(0,)]
    # 64 numbers, half precision.
    with Archive.open(tmp_path / "a.db") as archive:
        assert {vector.shape for vector in archive.embeddings(1).values()} == {(64,)}


def test_only_the_text_that_may_change_is_embedded(tmp_path):
    with ModelServer(improver) as server:
        run(server, tmp_path, steps=2)
        assert not any("EVOLVE-BLOCK" in text for text in embedded(server))


def test_nothing_is_embedded_twice_in_any_run_of_an_archive(tmp_path):
    with ModelServer(few) as server:
        run(server, tmp_path, name="one.db")
        first = embedded(server)
        assert len(first) == len(set(first))
        run(server, tmp_path, name="one.db")
        both = embedded(server)
        assert len(both) == len(set(both))


def test_a_run_that_is_taken_up_asks_about_nothing_that_it_knows(tmp_path):
    with ModelServer(improver) as server:
        run(server, tmp_path, steps=4)
        evolve.resume(archive=tmp_path / "a.db", steps=9)
        texts = embedded(server)
    assert len(texts) == len(set(texts))
    assert rows(tmp_path, "SELECT count(*) FROM calibrations") == [(1,)]
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_a_replay_takes_embeddings_from_the_record_and_asks_nobody(tmp_path):
    with ModelServer(few) as server:
        run(server, tmp_path, steps=10)
        asked = len(server.asked)
        assert evolve.replay(archive=tmp_path / "a.db").differences == ()
        assert len(server.asked) == asked
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_embeddings_are_paid_within_the_budget_and_are_no_step_s_cost(tmp_path):
    with ModelServer(improver) as server:
        arm = f"openai/scripted[kinds=full,price=1/10]@{server.url}"
        made = run(server, tmp_path, embedder="embedder[price=2/0]", arms=[arm], budget_usd=1.0)
        n_asked = sum(one.wire is Wire.EMBEDDINGS for one in server.asked)
        n_all = len(server.asked)
    shown = made.summary()
    [(calls, usd, tokens)] = rows(tmp_path, "SELECT count(*), sum(usd), sum(tokens_in) FROM embedding_call_ends")
    assert calls == n_asked
    assert usd == pytest.approx(tokens * 2e-6)
    assert shown["embeddings"] == {"calls": n_asked, "tokens": tokens, "failed": 0, "usd": pytest.approx(usd)}
    assert shown["calls"] == n_all
    assert shown["usd"] == pytest.approx(usd + sum(step["usd"] for step in made.steps()))
    reserved = rows(
        tmp_path, "SELECT min(reserved_usd - usd) FROM embedding_calls JOIN embedding_call_ends USING (run, step, attempt, number)"
    )
    assert reserved[0][0] >= 0


def test_show_says_what_embeddings_cost_and_how_many_programs_have_none(cli, tmp_path):
    def every_second(asked):
        return Answer(fault=Fault.BAD_SETTING) if asked.number % 2 else Answer()

    with ModelServer(improver, embedding=every_second) as server:
        made = run(server, tmp_path, novelty={"max_similarity": 0.9999})
    failed = made.summary()["embeddings"]["failed"]
    assert failed > 0
    out = " ".join(cli("show", "--archive", tmp_path / "a.db").out.split())
    assert f"calls; {failed} programs were not embedded, and compared by identity alone" in out
    assert "novelty.embedder=" in out


def test_a_run_that_is_killed_pays_for_no_embedding_twice(tmp_path):
    where = tmp_path / "a.db"
    reached = threading.Event()

    def holds_the_fifth(asked):
        if asked.number == 5:
            reached.set()
            return Answer(before=30.0)
        return Answer()

    with ModelServer([], embedding=holds_the_fifth) as server:
        options = ["--set", f"novelty.embedder=openai/e[price=0]@{server.url}", "--set", "novelty.max_similarity=0.9999"]
        words = ["run", str(PARABOLA), "--steps", "12", "--seed", "3", "--archive", str(where), "--quiet", *options]
        process = subprocess.Popen([sys.executable, "-m", "evolve.cli", *words], stderr=subprocess.DEVNULL)
        assert reached.wait(60)
        process.kill()
        process.wait()
        first = embedded(server)
        [(known,)] = rows(tmp_path, "SELECT count(*) FROM embedding_call_ends WHERE outcome = 'ok'")
        evolve.resume(archive=where)
        later = embedded(server)[len(first) :]
    # What was in flight at the kill nobody has seen the end of: several steps may have asked at once.
    assert len(set(first) & set(later)) <= len(first) - known < len(first)
    assert len(later) == len(set(later))
    assert rows(tmp_path, "SELECT count(*) FROM additions") == [(13,)]
    assert evolve.replay(archive=where).differences == ()


def test_a_budget_that_is_spent_leaves_identity_and_the_run_goes_on(tmp_path, caplog):
    with ModelServer([]) as server:
        novelty = {"max_similarity": 0.999999}
        made = run(server, tmp_path, embedder="embedder[call_usd=0.4]", arms=["local"], budget_usd=1.0, novelty=novelty, steps=12)
    shown = made.summary()
    assert shown["steps"]["done"] == 12
    assert shown["usd"] <= 1.0
    assert shown["embeddings"]["failed"] > 0
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_a_model_that_goes_down_leaves_identity_and_is_warned_of_once(tmp_path, caplog):
    def fails_after_the_limit(asked):
        return Answer() if asked.number < 6 else Answer(fault=Fault.UNAVAILABLE)

    with ModelServer(improver, embedding=fails_after_the_limit) as server, caplog.at_level(logging.WARNING):
        made = run(server, tmp_path, steps=10)
    shown = made.summary()
    assert shown["steps"]["done"] == 10
    assert shown["embeddings"]["failed"] == len(rows(tmp_path, "SELECT * FROM unembedded")) > 1
    assert sum("compared by identity alone" in record.message for record in caplog.records) == 1
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()
    with ModelServer(improver) as server:
        # What was not embedded then stays so: a resumed run folds what was compared.
        before = rows(tmp_path, "SELECT step, attempt FROM unembedded")
        evolve.resume(archive=tmp_path / "a.db", steps=12)
        assert rows(tmp_path, "SELECT step, attempt FROM unembedded")[: len(before)] == before
    assert evolve.replay(archive=tmp_path / "a.db").differences == ()


def test_a_model_that_cannot_be_asked_for_the_limit_ends_the_run_before_it_has_made_anything(tmp_path):
    refused = pytest.raises(ModelError, match=r"how near programs may be cannot be found: .*evolve resume")
    with ModelServer(improver, embedding=lambda _: Answer(fault=Fault.UNKNOWN_MODEL)) as server, refused:
        run(server, tmp_path)
    assert rows(tmp_path, "SELECT count(*) FROM additions") == [(0,)]


def test_where_copies_are_not_told_from_edits_identity_alone_is_compared_and_the_run_says_so(tmp_path, caplog):
    def by_comments(text):
        return [1.0, 1.0 if "#" in text or "\n\n" in text else 0.0, 0.001 * len(text)]

    with ModelServer(improver, embed=by_comments) as server, caplog.at_level(logging.WARNING):
        run(server, tmp_path, steps=3)
        texts = embedded(server)
    assert rows(tmp_path, "SELECT min_distance FROM calibrations") == [(None,)]
    assert "does not tell copies of this program from edits" in caplog.text
    assert rows(tmp_path, "SELECT count(*) FROM embeddings") == [(0,)]
    assert len(texts) == len(set(texts))


def test_a_limit_of_one_s_own_is_not_calibrated(tmp_path):
    with ModelServer(improver) as server:
        run(server, tmp_path, steps=3, novelty={"max_similarity": 0.9999})
    assert rows(tmp_path, "SELECT count(*) FROM calibrations") == [(0,)]
    assert rows(tmp_path, "SELECT count(*) FROM embeddings")[0][0] >= 1


def test_while_one_program_is_embedded_the_next_is_asked_for(tmp_path):
    chats, next_chat = [], threading.Event()

    def asked_again(asked):
        chats.append(asked.number)
        if len(chats) == 2:
            next_chat.set()
        return improver(asked)

    def waits_for_it(asked):
        return Answer(before=next_chat if chats else None)

    with ModelServer(asked_again, embedding=waits_for_it) as server:
        settings = {"stages": {"proposals": 1}, "novelty": {"max_similarity": 0.999999}}
        made = run(server, tmp_path, embedder="embedder[price=0,timeout_s=20]", steps=12, settings=settings)
    assert made.summary()["embeddings"]["failed"] == 0


def test_in_strict_order_the_number_of_workers_does_not_matter(tmp_path):
    with ModelServer([]) as server:
        made = [run(server, tmp_path, arms=["local"], workers=n, name=f"{n}.db", steps=12) for n in (1, 4)]
    alike = [
        [{key: value for key, value in step.items() if not key.endswith(("_s", "_at"))} for step in one.steps()] for one in made
    ]
    assert alike[0] == alike[1]


def test_a_key_that_is_missing_and_a_setting_that_says_nothing_are_refused_before_anything_is_on_disk(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for embedder, words in (
        ("openai/text-embedding-3-small", "OPENAI_API_KEY"),
        ("openai/text-embedding-3-small[temperature=1]", "temperature says nothing"),
        ("opnai/x", "did you mean 'openai'"),
        ("anthropic/x", "anthropic is not asked for embeddings"),
    ):
        with pytest.raises(ConfigError, match=words):
            evolve.run(str(PARABOLA), archive=tmp_path / "b.db", settings={"novelty": {"embedder": embedder}}, steps=1)
    assert not (tmp_path / "b.db").exists()
