"""What only a database server can do to an archive: refuse, disappear, and let several write at once."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from archive_kit import INITIAL, SOURCE, begin, child_of, new_run, ok, plan_of, started, write_step
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from postgres_kit import GUARDED, PASSWORD

from evolve.archive import postgres as postgres_module
from evolve.archive.queries import steps
from evolve.archive.store import Archive
from evolve.archive.texts import pack
from evolve.archive.transactions import Altering, Recording
from evolve.errors import ArchiveError, EmptyArchive
from evolve.program import Program, Reply


@pytest.fixture
def archive(postgres_url):
    with Archive.open(postgres_url, create=True) as opened:
        yield opened


@pytest.fixture
def name(postgres_url):
    return postgres_url.rpartition("/")[2]


# Being refused


@pytest.mark.parametrize("scheme", ["postgresql+psycopg", "postgresql", "postgres"])
def test_urls_that_people_write_all_mean_psycopg(postgres_url, scheme):
    with Archive.open(postgres_url.replace("postgresql+psycopg", scheme), create=True) as archive:
        assert archive.run_numbers() == []


def test_a_missing_driver_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ArchiveError, match=r"driver that is not installed: pip install 'evolve-platform\[postgres\]'"):
        Archive.open("postgresql://host/name")


def test_a_server_that_does_not_answer_is_named():
    with pytest.raises(ArchiveError, match=r"127\.0\.0\.1:1/name cannot be reached: no database server answers there; check host"):
        Archive.open("postgresql://me@127.0.0.1:1/name")


def test_a_host_that_does_not_exist_is_named():
    with pytest.raises(ArchiveError, match=r"cannot be reached: there is no such host; check its name"):
        Archive.open("postgresql://me@nowhere.invalid/name")


def test_a_missing_database_says_how_to_make_it(postgres):
    how = f"createdb -h 127.0.0.1 -p {postgres.port} -U admin nix "
    with pytest.raises(ArchiveError, match=f"does not exist; make it with: {how}"):
        Archive.open(postgres.url("nix"), create=True)


def test_an_empty_database_is_filled_by_a_run_only(postgres, postgres_url, name):
    with pytest.raises(EmptyArchive, match="is empty; `evolve run TASK --archive postgresql"):
        Archive.open(postgres_url)
    assert postgres.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", name) == [(0,)]


def test_a_user_who_does_not_exist_is_named(postgres, name):
    with pytest.raises(ArchiveError, match="knows no such user; name another in the URL, or have one made with createuser"):
        Archive.open(postgres.url(name, "nobody_of_that_name"))


@pytest.fixture
def guarded(postgres, name):
    """A database whose user needs a password and owns nothing."""
    postgres.sql(f"CREATE ROLE {GUARDED} LOGIN PASSWORD '{PASSWORD}'")
    yield postgres.url(name, GUARDED)
    postgres.sql(f"DROP OWNED BY {GUARDED}", name)
    postgres.sql(f"DROP ROLE {GUARDED}")


def with_password(url: str, password: str) -> str:
    return url.replace(f"{GUARDED}@", f"{GUARDED}:{password}@")


def test_a_missing_and_a_wrong_password_are_told_apart_and_never_shown(guarded, monkeypatch):
    monkeypatch.delenv("PGPASSWORD", raising=False)
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    with pytest.raises(ArchiveError, match=r"wants a password: put it into ~/.pgpass, PGPASSWORD, or the URL"):
        Archive.open(guarded)
    with pytest.raises(ArchiveError, match=r"refuses the user's name or password; check both") as caught:
        Archive.open(with_password(guarded, "another-word"))
    assert "another-word" not in str(caught.value)
    with pytest.raises(EmptyArchive):
        Archive.open(with_password(guarded, PASSWORD))
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with pytest.raises(EmptyArchive):
        Archive.open(guarded)


def test_a_user_who_may_make_no_tables_is_told_what_to_ask_for(guarded):
    with pytest.raises(ArchiveError, match="refuses this user; have its owner GRANT CREATE ON SCHEMA public to make an archive"):
        Archive.open(with_password(guarded, PASSWORD), create=True)


def test_a_user_who_may_only_read_reads(archive, postgres, guarded, name):
    run, writer = started(archive)
    writer.close()
    postgres.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {GUARDED}", name)
    with Archive.open(with_password(guarded, PASSWORD), create=True) as reader:
        assert [row["step"] for row in steps(reader, run)] == [0]
        with pytest.raises(ArchiveError, match="refuses this user; have its owner GRANT"):
            reader.create_run(new_run())
        with pytest.raises(ArchiveError, match="refuses this user"):
            reader.writer(run)


def test_a_user_who_may_select_insert_and_update_records_runs(archive, postgres, guarded, name):
    postgres.sql(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {GUARDED}", name)
    with Archive.open(with_password(guarded, PASSWORD), create=True) as writing:
        run, writer = started(writing)
        with writer:
            write_step(writer, 1, ok(2.0))
            writing.advise(run, "smaller")
    assert [row["step"] for row in steps(archive, run)] == [0, 1]


def test_a_socket_and_a_schema_may_be_named_in_the_url(postgres, postgres_url, name):
    postgres.sql("CREATE SCHEMA mine", name)
    with Archive.open(f"{postgres_url}?options=-csearch_path%3Dmine", create=True) as archive:
        archive.create_run(new_run())
    through_socket = f"postgresql://admin@/{name}?host={postgres.folder}&port={postgres.port}"
    with pytest.raises(EmptyArchive):
        Archive.open(through_socket)
    with Archive.open(f"{through_socket}&options=-csearch_path%3Dmine") as archive:
        assert archive.run_numbers() == [1]


def test_a_server_that_reads_unless_told_otherwise_is_written_all_the_same(postgres, postgres_url, name):
    postgres.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with Archive.open(postgres_url, create=True) as archive:
        assert archive.create_run(new_run()) == 1


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("25006", "cannot be written: its server, or this user's transactions, are read-only"),
        ("53100", "the disk of its server is full; what was committed is safe: free some space"),
        ("57014", "statement_timeout"),
    ],
)
def test_errors_that_a_test_cannot_bring_about_are_explained_by_their_code(archive, code, message):
    with pytest.raises(ArchiveError, match=message), archive._database.write() as connection:
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION 'as if' USING ERRCODE = '{code}'; END $$")


def test_a_server_with_too_many_connections_says_so(postgres, guarded, name):
    postgres.sql(f"ALTER ROLE {GUARDED} CONNECTION LIMIT 0")
    with pytest.raises(ArchiveError, match="its server has as many connections as it takes; end some, or raise max_connections"):
        Archive.open(with_password(guarded, PASSWORD))


def test_a_database_that_cannot_hold_every_text_is_refused(postgres):
    with pytest.raises(ArchiveError, match=r"keeps text as LATIN1, .* createdb --encoding=UTF8 --template=template0 NAME"):
        Archive.open(postgres.url(postgres.narrow()), create=True)


@pytest.mark.parametrize(("durability", "setting"), [("normal", "off"), ("full", "on")])
def test_a_server_that_promises_less_is_asked_for_more_where_that_is_wanted(postgres, postgres_url, name, durability, setting):
    postgres.sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with Archive.open(postgres_url, create=True, durability=durability) as archive, archive.read() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == setting


# What it holds


HALVES_AND_OTHERS = st.characters(categories=["Cs", "Cc", "L", "S"])


# No program holds half of a surrogate pair, but what one prints may, and what a model answers.
@given(
    st.lists(st.text(max_size=40), min_size=1, max_size=5), st.text(st.characters(categories=["Cs", "Cc", "L", "S"]), min_size=1)
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["\0", "x = '\0\U0001f600'\n" * 9], "\0\udcff\ud83e")
def test_sources_answers_and_feedback_survive_whatever_they_hold(archive, contents, said):
    run = archive.create_run(new_run())
    program = Program.make(0, {f"part_{k}.py": text for k, text in enumerate(contents)})
    evaluation = ok(0.1 + 0.2, feedback=said)
    with archive.writer(run) as writer:
        writer.program(program, "mark")
        writer.evaluation(0, program.program_id, evaluation)
        writer.plan(plan_of(1))
        writer.reply(1, 0, Reply(said, prompt=said * 9))
    assert archive.program(run, program.program_id) == (program, evaluation)
    assert archive.replies(run)[1, 0] == Reply(said, prompt=said * 9)


def test_words_lose_only_what_no_database_holds(archive):
    run, writer = started(archive)
    with writer:
        archive.advise(run, "mind the \0 and the \udcff")
        assert writer.advice() == ("mind the \ufffd and the \ufffd",)
        writer.unembedded(1, 0, "the server said \0")
        writer.status("failed", asked_steps=3, reason="it said \0", seconds=1.0)
    assert archive.unembedded(run) == {(1, 0): "the server said \ufffd"}
    assert archive.session(run).reason == "it said \ufffd"


def test_files_and_arms_are_in_the_order_of_their_bytes_whatever_the_language_of_the_server(archive):
    run = archive.create_run(new_run())
    program = Program.make(0, {"b.py": "1", "B.py": "2", "a.py": "3", "_.py": "4"})
    with archive.writer(run) as writer:
        writer.program(program, "mark")
    assert list(archive.program(run, program.program_id)[0].files) == ["B.py", "_.py", "a.py", "b.py"]


# Several at once


def test_what_is_read_is_one_state_throughout(archive, postgres_url):
    run, writer = started(archive)
    with writer, Archive.open(postgres_url) as reader, reader.read() as connection:
        count = "SELECT count(*) FROM plans"
        assert connection.exec_driver_sql(count).scalar() == 0
        writer.plan(plan_of(1))
        writer.commit()
        assert connection.exec_driver_sql(count).scalar() == 0
        assert len(reader.history(run)[1]) == 1


def test_runs_and_advice_are_numbered_without_gaps_by_many_at_once(archive):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: archive.create_run(new_run()), range(16)))
        list(pool.map(lambda k: archive.advise(1, f"advice {k}"), range(16)))
    assert sorted(made) == list(range(1, 17))
    assert sorted(archive.run_record(number).name for number in made) == sorted(f"packing-{number}" for number in made)
    with archive.writer(1) as writer:
        assert sorted(writer.advice()) == sorted(f"advice {k}" for k in range(16))


def test_of_many_who_take_a_run_at_once_one_gets_it(archive):
    run = archive.create_run(new_run())

    def take(_: int) -> object:
        try:
            return archive.writer(run)
        except ArchiveError as error:
            return str(error)

    with ThreadPoolExecutor(6) as pool:
        got = list(pool.map(take, range(6)))
    refused = [item for item in got if isinstance(item, str)]
    assert len(refused) == 5
    assert all("is being written by process" in item for item in refused)
    next(item for item in got if not isinstance(item, str)).close()


def test_runs_do_not_wait_for_each_others_commits(postgres_url):
    with Archive.open(postgres_url, create=True, timeout_s=0.2) as archive:
        _, first = started(archive)
        other, second = started(archive)
        with first, second, first._connection.begin():
            second.plan(plan_of(1))
            second.commit()
            assert archive.create_run(new_run()) == 3
            assert len(archive.history(other)[1]) == 1


def test_whoever_takes_a_run_over_waits_for_its_last_commit(archive):
    run, old = started(archive)
    with archive._database.write() as connection:
        connection.exec_driver_sql("UPDATE sessions SET host = 'node7', heartbeat_at = 0")
    old.plan(plan_of(1))
    with ThreadPoolExecutor(1) as pool:
        with archive._database.write(Recording(run)):
            taking = pool.submit(archive.writer, run)
            committing = threading.Thread(target=old.commit)
            committing.start()
            assert not taking.done()
        # Whichever came first: the plan is there for the new writer, or it is never there.
        committing.join()
        new = taking.result(10)
    old.close()
    new.close()


def test_a_run_of_which_nothing_is_heard_in_mid_commit_can_be_taken_over(archive, monkeypatch):
    monkeypatch.setattr(postgres_module, "SILENCE_S", 0.05)
    run, silent = started(archive)
    with archive._database.write() as connection:
        connection.exec_driver_sql("UPDATE sessions SET host = 'node7', heartbeat_at = 0")
    begun = silent._connection.begin()
    archive.writer(run).close()
    with pytest.raises(ArchiveError, match="lost its connection"), archive._database.explained(silent._connection), begun:
        silent._connection.exec_driver_sql("SELECT 1")
    silent.close()


def test_a_lock_that_outlasts_the_timeout_is_explained_and_the_records_are_written_by_the_next_commit(postgres_url):
    with Archive.open(postgres_url, create=True, timeout_s=0.05) as archive:
        run, writer = started(archive)
        writer.plan(plan_of(1))
        with archive._database.write(Recording(run)), pytest.raises(ArchiveError, match="is locked by another process; let that"):
            writer.commit()
        writer.commit()
        assert [item.plan.step for item in archive.history(run)[1]] == [1]
        writer.close()


def test_tables_change_while_nobody_writes(postgres_url):
    with Archive.open(postgres_url, create=True, timeout_s=0.05) as archive:
        _, writer = started(archive)
        writer.plan(plan_of(1))
        with archive._database.write(Altering()):
            with pytest.raises(ArchiveError, match="locked"):
                writer.commit()
            with pytest.raises(ArchiveError, match="locked"):
                archive.run_numbers()
        writer.close()


def test_runs_that_write_the_same_texts_in_another_order_do_not_block_each_other(postgres, postgres_url, name):
    postgres.sql(f"ALTER DATABASE {name} SET deadlock_timeout = '20ms'")
    rounds, size = 6, 100
    together = threading.Barrier(2, timeout=30)
    with Archive.open(postgres_url, create=True) as archive:
        runs = [archive.create_run(new_run()) for _ in range(2)]

        def write(run: int) -> None:
            with archive.writer(run) as writer:
                begin(writer)
                for step in range(1, rounds + 1):
                    writer.plan(plan_of(step))
                    for k in range(size) if run == 1 else reversed(range(size)):
                        writer.reply(step, k, Reply(f"answer {step} {k} " * 9))
                    together.wait()
                    writer.commit()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(write, runs))
        for run in runs:
            assert len(archive.replies(run)) == rounds * size
            assert archive.replies(run)[rounds, 3].text == f"answer {rounds} 3 " * 9


def test_a_text_may_be_stored_before_its_dictionary_within_a_commit(archive):
    run, writer = started(archive)
    base = next(SOURCE + f"# {k}\n" for k in range(99) if pack(SOURCE + f"# {k}\n").hash > pack(SOURCE + f"# {k}\nx = 1\n").hash)
    with writer:
        for step, text in ((1, base), (2, base + "x = 1\n")):
            writer.plan(plan_of(step))
            writer.reply(step, 0, Reply("edit", prompt=text))
        writer.commit()
    assert [reply.prompt for reply in archive.replies(run).values()] == [base, base + "x = 1\n"]


# Being left alone


def test_a_server_that_is_started_again_ends_the_writer_and_the_run_can_be_taken_up(archive, postgres):
    run, writer = started(archive)
    write_step(writer, 1, ok(2.0))
    postgres.stop()
    postgres.start()
    writer.plan(plan_of(2))
    with pytest.raises(ArchiveError, match=r"lost its connection .* nothing is there by half: see that .* `evolve resume`"):
        writer.commit()
    # Whether a lost commit came through is nobody's guess: it is not tried again.
    with pytest.raises(ArchiveError, match="lost its connection"):
        writer.commit()
    writer.status("failed", asked_steps=3, reason="lost", seconds=1.0)
    writer.close()
    assert archive.session(run).status == "failed"
    settled, pending = archive.history(run)
    assert [item.addition.step for item in settled] == [0, 1]
    assert pending == []
    with archive.writer(run) as again:
        again.plan(plan_of(2))
    assert archive.history(run)[1][-1].plan == plan_of(2)


def test_a_commit_of_which_nobody_knows_whether_it_came_through_is_neither_repeated_nor_lost(archive, monkeypatch):
    run, writer = started(archive)
    dialect = archive._database.engine.dialect
    commit = dialect.do_commit

    def commit_and_break(connection):
        commit(connection)
        connection.driver_connection.close()
        raise dialect.dbapi.OperationalError("server closed the connection unexpectedly")

    writer.plan(plan_of(1))
    monkeypatch.setattr(dialect, "do_commit", commit_and_break)
    with pytest.raises(ArchiveError, match="lost its connection"):
        writer.commit()
    monkeypatch.undo()
    writer.plan(plan_of(2))
    with pytest.raises(ArchiveError, match="lost its connection"):
        writer.commit()
    writer.close()
    with archive.writer(run) as again:
        assert [item.plan.step for item in archive.history(run)[1]] == [1]
        again.plan(plan_of(2))
    assert [item.plan.step for item in archive.history(run)[1]] == [1, 2]


def test_a_server_that_is_gone_is_one_message_and_a_warning(archive, postgres, caplog):
    _, writer = started(archive)
    postgres.stop()
    try:
        writer.plan(plan_of(1))
        with pytest.raises(ArchiveError, match="lost its connection"):
            writer.commit()
        with pytest.raises(ArchiveError, match="cannot be reached: no database server answers there"):
            archive.run_numbers()
        writer.close()
        assert "the writer lock stays until this process ends" in caplog.text
    finally:
        postgres.start()


def test_a_connection_that_an_administrator_ends_ends_the_writer_too(archive, postgres, name):
    run, writer = started(archive)
    program = write_step(writer, 1, ok(2.0))
    postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()")
    with pytest.raises(ArchiveError, match="lost its connection"):
        writer.advice()
    writer.plan(plan_of(2))
    with pytest.raises(ArchiveError, match="lost its connection"):
        writer.commit()
    writer.close()
    assert archive.program(run, program.program_id)[0] == child_of(INITIAL, 1)
    assert archive.session(run).status == "stopped"
