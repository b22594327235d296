import pytest
from archive_kit import INITIAL, begin, child_of, new_run, ok, plan_of, started, write_step

from evolve.archive import queries
from evolve.archive.queries import CurvePoint, attempts, curve, lineage, note, steps, tree
from evolve.archive.records import Addition, Screen, Verdict
from evolve.archive.store import Archive
from evolve.archive.summaries import summary
from evolve.errors import RunNotFound
from evolve.program import Evaluation, Isolation, Metric, Outcome, Reply, Stage


@pytest.fixture
def archive(where):
    with Archive.open(where, create=True, clock=lambda: 1000.0) as opened:
        yield opened


def untimed(row):
    return {key: value for key, value in row.items() if not key.endswith(("_s", "_at"))}


# Steps


def test_steps_are_exported_in_their_order_from_the_initial_program_on(archive):
    run, writer = started(archive)
    with writer:
        late = write_step(writer, 2, ok(3.0, metrics={"gap": Metric(0.5)}, isolation=Isolation.LANDLOCK), cost_usd=0.25, version=1)
        writer.plan(plan_of(1, late))
        writer.edit_failed(1, 0, "nothing to change")
        writer.reply(1, 1, Reply("no JSON", cost_usd=0.125))
        writer.screen(Screen(1, 1, 1, Verdict.NEAR, late.program_id, 0.99))
        writer.addition(Addition(2, 1, Outcome.REJECTED))
    rows = list(steps(archive, run))
    assert [(row["step"], row["version"]) for row in rows] == [(0, 0), (1, 2), (2, 1)]
    assert untimed(rows[1]) == {
        "step": 1,
        "outcome": "rejected",
        "program": None,
        "parent": late.program_id,
        "inspirations": [INITIAL.program_id],
        "island": 1,
        "arm": "local/literals",
        "objective": None,
        "metrics": {},
        "source_sha256": None,
        "version": 2,
        "planned_version": 0,
        "reward": 0.0,
        "improved": False,
        "reused_from": None,
        "generation": None,
        "isolation": None,
        "timing_dependent": False,
        "stage": None,
        "instances": {},
        "values": [],
        "standard_error": None,
        "verified": None,
        "shared_process": False,
        "edit": None,
        "usd": 0.125,
        "attempts": 2,
        "verdict": "near",
    }
    assert untimed(rows[2]) == {
        "step": 2,
        "outcome": "ok",
        "program": late.program_id,
        "parent": INITIAL.program_id,
        "inspirations": [INITIAL.program_id],
        "island": 0,
        "arm": "local/literals",
        "objective": 3.0,
        "metrics": {"gap": 0.5},
        "source_sha256": late.source_sha256,
        "version": 1,
        "planned_version": 1,
        "reward": 0.0,
        "improved": False,
        "reused_from": None,
        "generation": 1,
        "isolation": "landlock",
        "timing_dependent": False,
        "stage": "evaluate",
        "instances": {},
        "values": [],
        "standard_error": None,
        "verified": None,
        "shared_process": False,
        "edit": "edit 2",
        "usd": 0.25,
        "attempts": 1,
        "verdict": "new",
    }


def test_the_initial_program_is_step_0_without_a_plan(archive):
    run, writer = started(archive)
    writer.close()
    (row,) = steps(archive, run)
    assert (row["step"], row["outcome"], row["program"], row["objective"]) == (0, "ok", INITIAL.program_id, 1.0)
    assert (row["parent"], row["arm"], row["inspirations"], row["attempts"], row["usd"]) == (None, None, [], 0, 0.0)


def test_unfinished_steps_are_not_exported(archive):
    run, writer = started(archive)
    with writer:
        writer.plan(plan_of(1))
    assert [row["step"] for row in steps(archive, run)] == [0]


def test_times_are_all_that_two_runs_of_the_same_records_differ_in(tmp_path):
    exports = []
    for name, start in (("a.db", 0.0), ("b.db", 500.0)):
        ticks = iter(range(1000))
        with Archive.open(tmp_path / name, create=True, clock=lambda start=start, ticks=ticks: start + next(ticks)) as archive:
            run, writer = started(archive)
            with writer:
                write_step(writer, 1, ok(2.0, cpu_s=start, wall_s=start))
            exports.append(list(steps(archive, run)))
    assert exports[0] != exports[1]
    assert [untimed(row) for row in exports[0]] == [untimed(row) for row in exports[1]]


def test_steps_read_in_several_rounds_are_all_there(archive, monkeypatch):
    monkeypatch.setattr(queries, "_CHUNK", 3)
    run, writer = started(archive)
    with writer:
        for step in range(1, 9):
            write_step(writer, step, ok(float(step)))
    assert [row["step"] for row in steps(archive, run)] == list(range(9))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ('{"note":"scaled x","edits":[]}', "scaled x"),
        ('{"edits":[]}', None),
        ('{"note":3}', None),
        ("{broken", None),
        ("text", None),
    ],
)
def test_a_note_is_what_a_json_reply_says_of_itself(reply, said):
    assert note(reply) == said


# One step, and families


def test_attempts_tell_what_was_asked_answered_and_found(archive):
    run, writer = started(archive)
    with writer:
        writer.plan(plan_of(1))
        writer.reply(1, 0, Reply("bad edit", None, (), "please", 10, 2, 0.5, 1.5))
        writer.edit_failed(1, 0, "text not found")
        writer.edit_failed(1, 1, "nothing to change")
        writer.reply(1, 2, Reply('{"note":"good"}', None, (INITIAL.program_id,)))
        writer.screen(Screen(1, 2, 0, Verdict.NEW, INITIAL.program_id, 0.5))
    asked = {"parents": [], "tokens_in": 10, "tokens_out": 2, "usd": 0.5, "latency_s": 1.5, "replied_at": 1000.0}
    assert attempts(archive, run, 1) == [
        {"attempt": 0, "prompt": "please", "reply": "bad edit", "edit": None, **asked, "edit_failure": "text not found"},
        {"attempt": 1, "edit_failure": "nothing to change"},
        {
            "attempt": 2,
            "prompt": "",
            "reply": '{"note":"good"}',
            "edit": "good",
            "parents": [INITIAL.program_id],
            "tokens_in": 0,
            "tokens_out": 0,
            "usd": 0.0,
            "latency_s": 0.0,
            "replied_at": 1000.0,
            "verdict": "new",
            "nearest": INITIAL.program_id,
            "similarity": 0.5,
            "screened_version": 0,
        },
    ]


def test_a_lineage_leads_from_a_program_back_to_the_initial_one(archive):
    run, writer = started(archive)
    with writer:
        child = write_step(writer, 1, ok(2.0))
        write_step(writer, 2, ok(9.0))
        grandchild = write_step(writer, 3, Evaluation(Outcome.TIMED_OUT), parent=child)
    found = lineage(archive, run, grandchild.program_id)
    assert [node["program"] for node in found] == [grandchild.program_id, child.program_id, INITIAL.program_id]
    assert [(node["outcome"], node["objective"]) for node in found] == [("timed_out", None), ("ok", 2.0), ("ok", 1.0)]


def test_a_lineage_of_nobody_is_an_error(archive):
    run, writer = started(archive)
    writer.close()
    with pytest.raises(RunNotFound, match="no program 'abc'"):
        lineage(archive, run, "abc")


def test_the_tree_lists_every_program_with_its_parent(archive):
    run, writer = started(archive)
    with writer:
        child = write_step(writer, 1, ok(2.0), improved=True)
        write_step(writer, 2, ok(1.0), parent=child)
    assert [(node["step"], node["parent"], node["improved"]) for node in tree(archive, run)] == [
        (0, None, True),
        (1, INITIAL.program_id, True),
        (2, child.program_id, False),
    ]
    assert tree(archive, run)[2]["program"] == child_of(child, 2).program_id


@pytest.mark.parametrize(("direction", "best"), [("maximize", [1.0, 1.0, 1.0, 4.0]), ("minimize", [1.0, 0.5, 0.5, 0.5])])
def test_the_curve_is_the_best_so_far(archive, direction, best):
    run, writer = started(archive, direction=direction)
    with writer:
        write_step(writer, 1, ok(0.5))
        write_step(writer, 2, Evaluation(Outcome.INVALID))
        write_step(writer, 3, ok(4.0))
    assert curve(archive, run) == [CurvePoint(step, value) for step, value in enumerate(best)]


def test_the_curve_has_no_value_before_something_scores(archive):
    run = archive.create_run(new_run())
    with archive.writer(run) as writer:
        begin(writer)
    other = archive.create_run(new_run())
    with archive.writer(other) as writer:
        writer.program(INITIAL, "initial")
        writer.addition(Addition(0, 0, Outcome.CRASHED, INITIAL.program_id))
    assert curve(archive, other) == [CurvePoint(0, None)]


def test_what_stages_and_verification_found_is_exported(archive):
    run, writer = started(archive)
    with writer:
        noisy = ok(3.0, instances={"b": 2.0, "a": 4.0}, values=(2.0, 4.0), standard_error=1.0, verified=True)
        write_step(writer, 1, noisy)
        write_step(writer, 2, Evaluation(Outcome.INVALID, stage=Stage.SMOKE))
        twice = write_step(writer, 3, ok(1.5, verified=False))
        write_step(writer, 4, ok(1.5, verified=False, reused_from=twice.program_id))
    _, one, two, three, four = steps(archive, run)
    assert (one["instances"], one["values"], one["standard_error"], one["verified"]) == (
        {"b": 2.0, "a": 4.0},
        [2.0, 4.0],
        1.0,
        True,
    )
    assert (two["stage"], two["verified"]) == ("smoke", None)
    assert three["verified"] is four["verified"] is False
    assert summary(archive, run)["verification"] == {"checked": 2, "disagreed": 1}
