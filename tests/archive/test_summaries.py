import json

import pytest
from archive_kit import INITIAL, new_run, ok, plan_of, started, write_step

from evolve.archive.store import Archive
from evolve.archive.summaries import summaries, summary
from evolve.errors import RunNotFound
from evolve.program import Direction, Evaluation, Isolation, Metric, Outcome, Reply, Stage


@pytest.fixture
def archive(where):
    with Archive.open(where, create=True, clock=lambda: 1000.0) as opened:
        yield opened


def test_a_run_that_never_started_has_neither_initial_nor_best(archive):
    run = archive.create_run(new_run())
    assert summary(archive, run) == {
        "run": 1,
        "name": "packing-1",
        "task": "packing",
        "status": "stopped",
        "seed": 7,
        "steps": {"asked": 10, "done": 0},
        "evaluated": 0,
        "outcomes": {},
        "rescores": None,
        "starts": [],
        "initial": None,
        "best": None,
        "calls": 0,
        "usd": 0.0,
        "tokens": 0,
        "embeddings": {"calls": 0, "tokens": 0, "failed": 0, "usd": 0.0},
        "judge": {"calls": 0, "tokens": 0, "same": 0, "different": 0, "unknown": 0, "usd": 0.0},
        "seconds": 0.0,
        "arms": {},
        "isolation": None,
        "hosts": [],
        "shared_process": False,
        "verification": {"checked": 0, "disagreed": 0},
    }


def test_a_run_is_summed_up(archive):
    run, writer = started(archive)
    with writer:
        metrics = {"b": Metric(2.0), "a": Metric(1.0, Direction.MINIMIZE)}
        best = write_step(writer, 1, ok(5.0, metrics=metrics, isolation=Isolation.STRONG), cost_usd=0.25, reward=1.0, improved=True)
        write_step(writer, 2, ok(3.0, isolation=Isolation.LANDLOCK), cost_usd=0.5, reward=0.5)
        write_step(writer, 3, Evaluation(Outcome.CRASHED), arm="local/recombine")
        write_step(writer, 4, ok(5.0, reused_from=best.program_id), arm="local/recombine")
        writer.status("finished", asked_steps=20, seconds=12.5)
    assert summary(archive, run) == {
        "run": 1,
        "name": "packing-1",
        "task": "packing",
        "status": "finished",
        "seed": 7,
        "steps": {"asked": 20, "done": 4},
        "evaluated": 3,
        "outcomes": {"crashed": 1, "ok": 3},
        "rescores": None,
        "starts": [{"origin": "initial", "step": 0, "program": INITIAL.program_id, "outcome": "ok", "objective": 1.0}],
        "initial": {
            "program": INITIAL.program_id,
            "objective": 1.0,
            "metrics": {},
            "generation": 0,
            "step": 0,
            "interval": None,
            "holdout": None,
        },
        "best": {
            "program": best.program_id,
            "objective": 5.0,
            "metrics": {"a": 1.0, "b": 2.0},
            "generation": 1,
            "step": 1,
            "interval": None,
            "holdout": None,
        },
        "calls": 4,
        "usd": 0.75,
        "tokens": 60,
        "embeddings": {"calls": 0, "tokens": 0, "failed": 0, "usd": 0.0},
        "judge": {"calls": 0, "tokens": 0, "same": 0, "different": 0, "unknown": 0, "usd": 0.0},
        "seconds": 12.5,
        "arms": {
            "local/literals": {"pulls": 2, "usd": 0.75, "improvements": 1, "reward": 0.75},
            "local/recombine": {"pulls": 2, "usd": 0.0, "improvements": 0, "reward": 0.0},
        },
        "isolation": "landlock",
        "hosts": [],
        "shared_process": False,
        "verification": {"checked": 0, "disagreed": 0},
    }


def test_a_summary_is_json(archive):
    run, writer = started(archive)
    with writer:
        write_step(writer, 1, ok(2.0))
    assert json.loads(json.dumps(summary(archive, run), allow_nan=False)) == summary(archive, run)


def test_hosts_are_counted_with_the_level_found_on_each_and_copies_are_not(archive):
    run, writer = started(archive)
    with writer:
        first = write_step(writer, 1, ok(2.0, host="b (10.0.0.2)", isolation=Isolation.STRONG))
        write_step(writer, 2, ok(3.0, host="a (10.0.0.1)", isolation=Isolation.LANDLOCK))
        write_step(writer, 3, Evaluation(Outcome.CRASHED, host="b (10.0.0.2)", isolation=Isolation.STRONG))
        write_step(writer, 4, ok(2.0, reused_from=first.program_id, host="b (10.0.0.2)", isolation=Isolation.STRONG))
        write_step(writer, 5, ok(2.0, isolation=Isolation.STRONG))
    assert summary(archive, run)["hosts"] == [
        {"host": "a (10.0.0.1)", "isolation": "landlock", "evaluated": 1},
        {"host": "b (10.0.0.2)", "isolation": "strong", "evaluated": 2},
    ]
    assert archive.program(run, first.program_id)[1].host == "b (10.0.0.2)"


@pytest.mark.parametrize(("direction", "step"), [("maximize", 2), ("minimize", 1)])
def test_the_best_program_is_best_in_the_runs_direction(archive, direction, step):
    run, writer = started(archive, direction=direction)
    with writer:
        write_step(writer, 1, ok(-3.0))
        write_step(writer, 2, ok(4.0))
    assert summary(archive, run)["best"]["step"] == step


def test_among_equals_the_earlier_step_is_best_whichever_was_added_first(archive):
    run, writer = started(archive)
    with writer:
        write_step(writer, 2, ok(4.0), version=1)
        write_step(writer, 1, ok(4.0), version=2)
    assert summary(archive, run)["best"]["step"] == 1


def test_a_copy_is_never_the_best(archive):
    run, writer = started(archive)
    with writer:
        original = write_step(writer, 2, ok(4.0), version=1)
        write_step(writer, 1, ok(4.0, reused_from=original.program_id), version=2)
    assert summary(archive, run)["best"]["program"] == original.program_id


def test_best_is_none_while_nothing_has_scored(archive):
    run = archive.create_run(new_run())
    with archive.writer(run) as writer:
        writer.program(INITIAL, "initial")
        writer.evaluation(0, INITIAL.program_id, Evaluation(Outcome.CRASHED))
    assert summary(archive, run)["best"] is None
    assert summary(archive, run)["initial"]["objective"] is None


def test_an_arm_without_finished_pulls_has_no_reward(archive):
    run, writer = started(archive)
    with writer:
        writer.plan(plan_of(1, arm="openai/gpt"))
        writer.reply(1, 0, Reply("an edit", cost_usd=0.5))
    assert summary(archive, run)["arms"] == {"openai/gpt": {"pulls": 0, "usd": 0.5, "improvements": 0, "reward": None}}


def test_a_run_is_running_only_while_somebody_writes_it(archive):
    run, writer = started(archive)
    assert summary(archive, run)["status"] == "running"
    writer.close()
    assert summary(archive, run)["status"] == "stopped"


def test_summaries_list_every_run_in_order(archive):
    for name in ("b", "a"):
        archive.create_run(new_run(name))
    assert [(item["run"], item["name"]) for item in summaries(archive)] == [(1, "b"), (2, "a")]


def test_a_run_that_is_none_has_no_summary(archive):
    with pytest.raises(RunNotFound, match="no run 5"):
        summary(archive, 5)


def test_a_summary_tells_what_results_scored_on_held_out_data(archive):
    run, writer = started(archive)
    with writer:
        write_step(writer, 1, ok(2.0))
        writer.holdout(1, ok(0.5, metrics={"gap": Metric(0.25)}, stage=Stage.HOLDOUT))
    shown = summary(archive, run)
    assert shown["initial"]["holdout"] is None
    assert shown["best"]["holdout"] == {"outcome": "ok", "objective": 0.5, "metrics": {"gap": 0.25}}
