"""What is repeated, what counts against a program and what ends a run, on clusters that the tests play."""

import asyncio
import importlib.metadata
import itertools
import random

import pytest
from cluster_kit import PROGRAM, Cluster, answer, evaluated, lost, node, placed, play, quickly, settled, started, task

from evolve.errors import ExecutorError, IsolationError, TaskError
from evolve.executors import messages
from evolve.executors.cluster import ClusterConfig, RayExecutor, parse
from evolve.executors.cluster.orders import Order, pack_answer
from evolve.program import Isolation, Limits, Outcome, Stage

BIG = node("b", CPU=14.0, memory=2.0**36)


async def one(executor, **more):
    async with asyncio.timeout(3600):
        return (await executor.evaluate(PROGRAM, seed=0, **more)).evaluation


def outcome(evaluation):
    return evaluation.outcome, evaluation.objective


def losing(cause, times=None, **more):
    """A script: attempts are lost, the first so many of them; then they are answered."""

    def script(cluster, link, message):
        if times is None or len(cluster.attempts) <= times:
            where = more.get("where") or next(n["node"] for n in cluster.nodes if n["node"] not in message["avoid"])
            if more.get("begun", True):
                started(cluster, link, message, where)
            lost(link, message, cause, where if more.get("begun", True) else "", **more.get("also", {}))
        else:
            answer(cluster, link, message)

    return script


# What comes back


def test_an_evaluation_says_where_it_was_made(monkeypatch):
    evaluation = play(monkeypatch, Cluster(node("a")), one)
    assert (*outcome(evaluation), evaluation.host, evaluation.isolation) == (Outcome.OK, 42.0, "host-a", Isolation.STRONG)


def test_a_part_of_the_evaluator_that_there_is_not_gives_nothing(monkeypatch):
    asked = []

    def script(cluster, link, message):
        asked.append(Order.unpacked(message["order"]).request["stage"])
        started(cluster, link, message, "a")
        link.hear({"kind": "answer", "attempt": message["attempt"], "answer": pack_answer(None)})

    assert play(monkeypatch, Cluster(script=script), lambda executor: executor.holdout(PROGRAM, seed=0)) is None
    assert play(monkeypatch, Cluster(script=script), lambda executor: executor.paired(PROGRAM, seed=0)) is None
    assert asked == ["holdout", "paired"]


def test_what_is_sent_for_an_evaluation_is_small_whatever_the_program(monkeypatch):
    cluster = Cluster()
    large = {"initial.py": "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz_ =()\n", k=20_000))}
    play(monkeypatch, cluster, lambda executor: executor.evaluate(large, seed=3, artifacts=True, fresh=True))
    (message,) = cluster.attempts
    assert len(message["order"]) < 64 * 1024
    request = Order.unpacked(message["order"]).request
    assert request == messages.request(Stage.EVALUATE, large, 3, artifacts=True, fresh=True)


def test_the_level_is_the_weakest_of_the_nodes_that_evaluate(monkeypatch):
    def script(cluster, link, message):
        started(cluster, link, message, "b", Isolation.LANDLOCK)
        link.hear({"kind": "answer", "attempt": message["attempt"], "answer": pack_answer(evaluated())})

    async def story(executor):
        before = executor.isolation
        await one(executor)
        return before, executor.isolation

    assert play(monkeypatch, Cluster(node("a"), node("b"), script=script), story) == (Isolation.STRONG, Isolation.LANDLOCK)


# What is repeated


@pytest.mark.parametrize("cause", ["node", "pressure", "link"])
def test_what_infrastructure_loses_is_repeated_as_often_as_need_be(monkeypatch, cause):
    cluster = Cluster(node("a"), node("b"), script=losing(cause, 25))
    assert outcome(play(monkeypatch, cluster, one)) == (Outcome.OK, 42.0)
    assert len(cluster.attempts) == 26


def test_an_attempt_is_repeated_away_from_where_the_last_one_was_lost(monkeypatch):
    cluster = Cluster(node("a"), node("b"), script=losing("node", 3))
    play(monkeypatch, cluster, one)
    assert [message["avoid"] for message in cluster.attempts] == [[], ["a"], ["b"], ["a"]]


def test_repeating_takes_longer_each_time_up_to_a_few_seconds(monkeypatch):
    at = []

    def script(cluster, link, message):
        at.append(asyncio.get_running_loop().time())
        losing("node", 12)(cluster, link, message)

    play(monkeypatch, Cluster(script=script), one)
    waits = [round(b - a, 2) for a, b in itertools.pairwise(at)]
    assert waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0, 5.0]


def test_an_evaluation_may_be_repeated_for_hours(monkeypatch):
    cluster = Cluster(script=losing("pressure", 1100))
    assert play(monkeypatch, cluster, lambda executor: executor.evaluate(PROGRAM, seed=0)).evaluation.objective == 42.0


# What counts against a program


def test_a_program_whose_worker_ends_twice_on_nodes_that_live_is_crashed(monkeypatch):
    cluster = Cluster(node("a"), node("b"), script=losing("worker"))
    evaluation = play(monkeypatch, cluster, one)
    assert evaluation.outcome is Outcome.CRASHED
    assert evaluation.feedback == "the worker that evaluates the program ended twice: lost to worker; lost to worker"
    assert len(cluster.attempts) == 2
    assert [ping["node"] for ping in cluster.sent("ping")] == ["a", "b"]


def test_one_death_of_a_worker_is_not_the_programs(monkeypatch):
    cluster = Cluster(script=losing("worker", 1))
    assert outcome(play(monkeypatch, cluster, one)) == (Outcome.OK, 42.0)


def test_workers_that_end_with_their_nodes_never_count(monkeypatch):
    cluster = Cluster(script=losing("worker", 20))
    cluster.alive = set()
    assert outcome(play(monkeypatch, cluster, one)) == (Outcome.OK, 42.0)
    assert len(cluster.attempts) == 21


def test_of_workers_that_ended_only_those_on_nodes_that_live_count(monkeypatch):
    cluster = Cluster(node("a"), node("b"), script=losing("worker"))
    cluster.alive = {"b"}
    evaluation = play(monkeypatch, cluster, one)
    assert evaluation.outcome is Outcome.CRASHED
    assert [ping["node"] for ping in cluster.sent("ping")] == ["a", "b", "a", "b"]


def test_a_worker_that_ends_before_it_began_counts_for_nothing(monkeypatch):
    # Where it was is not known, so nothing says that its node lives.
    cluster = Cluster(script=losing("worker", 5, begun=False))
    assert outcome(play(monkeypatch, cluster, one)) == (Outcome.OK, 42.0)
    assert len(cluster.attempts) == 6


def test_workers_that_end_while_their_places_get_ready_count_for_nothing(monkeypatch):
    def script(cluster, link, message):
        if len(cluster.attempts) > 5:
            answer(cluster, link, message)
            return
        where = "b" if "a" in message["avoid"] else "a"
        placed(link, message, where)
        lost(link, message, "worker", where)

    cluster = Cluster(node("a"), node("b"), script=script)
    assert outcome(play(monkeypatch, cluster, one)) == (Outcome.OK, 42.0)
    assert [message["avoid"] for message in cluster.attempts] == [[], ["a"], ["b"], ["a"], ["b"], ["a"]]
    assert not cluster.sent("ping")


def test_places_that_do_not_get_ready_are_given_up_for_others_and_count_for_nothing(monkeypatch):
    def script(cluster, link, message):
        if len(cluster.attempts) > 3:
            answer(cluster, link, message)
        else:
            placed(link, message, "b" if "a" in message["avoid"] else "a")

    async def story(executor):
        return outcome(await one(executor)), asyncio.get_running_loop().time() - 1000

    cluster = Cluster(node("a"), node("b"), script=script)
    found, took_s = play(monkeypatch, cluster, story)
    assert found == (Outcome.OK, 42.0)
    assert 900 < took_s < 910
    assert [message["avoid"] for message in cluster.attempts] == [[], ["a"], ["b"], ["a"]]
    given_up = [message["attempt"] for message in cluster.attempts[:3]]
    assert [message["attempt"] for message in cluster.sent("cancel")] == given_up


def test_an_evaluation_that_found_a_cold_place_is_waited_for_while_others_come_and_go(monkeypatch):
    def script(cluster, link, message):
        if len(cluster.attempts) == 1:
            placed(link, message, "a")
            asyncio.get_running_loop().call_later(250.0, lambda: answer(cluster, link, message))
        else:
            answer(cluster, link, message, 1.0)

    async def story(executor):
        cold = asyncio.create_task(one(executor))
        others = []
        for _ in range(10):
            await asyncio.sleep(20.0)
            others.append(outcome(await one(executor)))
        return outcome(await cold), others

    cluster = Cluster(script=script)
    assert play(monkeypatch, cluster, story) == ((Outcome.OK, 42.0), [(Outcome.OK, 1.0)] * 10)
    assert len(cluster.attempts) == 11


def test_an_attempt_that_nothing_is_heard_of_is_repeated_and_its_late_answer_ignored(monkeypatch):
    def script(cluster, link, message):
        if len(cluster.attempts) == 1:
            started(cluster, link, message, "a")
            return
        # The late answer comes first.
        late = {"kind": "answer", "attempt": cluster.attempts[0]["attempt"], "answer": pack_answer(evaluated(-1.0))}
        link.hear(late)
        answer(cluster, link, message)
        link.hear(late)

    cluster = Cluster(node("a"), node("b"), script=script)
    assert outcome(play(monkeypatch, cluster, one)) == (Outcome.OK, 42.0)
    assert [message["attempt"] for message in cluster.sent("cancel")] == [cluster.attempts[0]["attempt"]]
    assert cluster.attempts[1]["avoid"] == ["a"]


def test_a_program_that_is_not_heard_of_twice_on_nodes_that_live_is_crashed(monkeypatch):
    def script(cluster, link, message):
        started(cluster, link, message, "a")

    async def story(executor):
        evaluation = await one(executor)
        return evaluation, asyncio.get_running_loop().time()

    evaluation, now = play(monkeypatch, Cluster(script=script), story)
    assert evaluation.outcome is Outcome.CRASHED
    # Twice 2 s of wall clock and 30 s of grace, since a seat repeats once, and 15 s on the way.
    assert "nothing was heard of it for 79 s" in evaluation.feedback
    assert 158 < now - 1000 < 165


# Nodes that do not evaluate


def refusing(*names, refusal="broken", why="its disk is full"):
    def script(cluster, link, message):
        where = next((n["node"] for n in cluster.nodes if n["node"] not in message["avoid"]), None)
        if where in names:
            lost(link, message, "refused", where, refusal=refusal, host=f"host-{where}", why=why)
        else:
            answer(cluster, link, message)

    return script


def test_a_node_that_refuses_is_never_asked_again(monkeypatch):
    cluster = Cluster(node("a"), node("b"), script=refusing("a"))

    async def story(executor):
        return [outcome(await one(executor)) for _ in range(3)], executor.slots

    assert play(monkeypatch, cluster, story) == ([(Outcome.OK, 42.0)] * 3, 3)
    assert [message["avoid"] for message in cluster.attempts] == [[], ["a"], ["a"], ["a"]]


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [("isolation", IsolationError), ("task", TaskError), ("code", ExecutorError), ("broken", ExecutorError)],
)
def test_entering_a_cluster_where_no_node_evaluates_says_why(monkeypatch, refusal, kind):
    cluster = Cluster(node("a"), node("b"))
    cluster.probe = refusing("a", "b", refusal=refusal, why="for this reason")
    with pytest.raises(kind, match="for this reason") as raised:
        play(monkeypatch, cluster, one)
    assert type(raised.value) is kind
    assert cluster.link.left


def test_a_task_that_does_not_load_on_the_first_node_is_not_tried_on_others(monkeypatch):
    cluster = Cluster(node("a"), node("b"))
    cluster.probe = refusing("a", refusal="task", why="No module named 'scipy'")
    with pytest.raises(TaskError, match=r"^No module named 'scipy'$"):
        play(monkeypatch, cluster, one)
    assert len(cluster.sent("evaluate")) == 1


def test_a_task_that_loads_elsewhere_leaves_out_the_node_where_it_does_not(monkeypatch):
    cluster = Cluster(node("a"), node("b"), script=refusing("a", refusal="task"))
    assert outcome(play(monkeypatch, cluster, one)) == (Outcome.OK, 42.0)


@pytest.mark.parametrize("refusal", ["isolation", "task", "code", "broken"])
def test_where_no_node_is_left_to_run_on_the_run_ends(monkeypatch, refusal):
    cluster = Cluster(node("a"), script=refusing("a", refusal=refusal, why="for this reason"))
    with pytest.raises(ExecutorError, match="no node of the Ray cluster at h:1 can evaluate; host-a: for this reason"):
        play(monkeypatch, cluster, one)


def test_a_head_without_processors_is_nothing_left_to_run_on(monkeypatch):
    cluster = Cluster(node("a"), node("head", CPU=0.0, memory=2.0**36))
    cluster.probe = cluster.script = refusing("a", refusal="isolation", why="no bubblewrap")
    with pytest.raises(IsolationError, match="no bubblewrap"):
        play(monkeypatch, cluster, one)
    cluster = Cluster(node("a"), node("head", CPU=0.0, memory=2.0**36), script=refusing("a"))
    with pytest.raises(ExecutorError, match="host-a: its disk is full"):
        play(monkeypatch, cluster, one)


def test_a_node_of_which_nobody_knows_the_name_is_not_left_out_for_good(monkeypatch):
    def script(cluster, link, message):
        if len(cluster.attempts) == 1:
            lost(link, message, "refused", "", why="the seat broke")
        else:
            answer(cluster, link, message)

    cluster = Cluster(script=script)
    assert outcome(play(monkeypatch, cluster, one)) == (Outcome.OK, 42.0)
    assert cluster.attempts[1]["avoid"] == []


def test_a_node_on_which_everything_breaks_ends_the_run_and_blames_no_program(monkeypatch):
    cluster = Cluster(script=lambda cluster, link, message: lost(link, message, "node", why="no other worker can be started"))
    with pytest.raises(ExecutorError, match="takes no evaluation, 20 times in a row: no other worker can be started"):
        play(monkeypatch, cluster, one)


def test_a_cluster_whose_nodes_refuse_without_a_name_is_given_up_with_the_reason(monkeypatch):
    cluster = Cluster()
    cluster.probe = lambda cluster, link, message: lost(link, message, "refused", "", why="No module named 'evolve'")
    with pytest.raises(ExecutorError, match="takes no evaluation, 20 times in a row: No module named 'evolve'"):
        play(monkeypatch, cluster, one)


# The connection


def test_a_connection_that_is_lost_is_opened_again_and_its_attempts_repeated(monkeypatch):
    def script(cluster, link, message):
        started(cluster, link, message, "a")
        if len(cluster.links) == 1:
            if not link.closed.done():
                link.lose()
        else:
            answer(cluster, link, message)

    cluster = Cluster(script=script)

    async def story(executor):
        return [outcome(e.evaluation) for e in await asyncio.gather(*(executor.evaluate(PROGRAM, seed=n) for n in range(3)))]

    assert play(monkeypatch, cluster, story) == [(Outcome.OK, 42.0)] * 3
    assert len(cluster.links) == 2
    assert cluster.links[0].left
    assert not cluster.sent("ping")


def test_attempts_of_a_lost_connection_are_repeated_at_once_though_another_call_opens_the_next(monkeypatch):
    def script(cluster, link, message):
        started(cluster, link, message, "a")
        if len(cluster.links) > 1:
            answer(cluster, link, message)

    cluster = Cluster(script=script)

    async def story(executor):
        first = asyncio.create_task(one(executor))
        await settled()
        cluster.link.lose()
        begun_at = asyncio.get_running_loop().time()
        second = await one(executor)  # finds the connection closed, and opens another
        first = await first
        return outcome(first), outcome(second), asyncio.get_running_loop().time() - begun_at < 5

    assert play(monkeypatch, cluster, story, workers=2) == ((Outcome.OK, 42.0), (Outcome.OK, 42.0), True)
    assert not cluster.sent("ping")


def test_a_ping_that_the_lost_connection_took_along_is_waited_for_no_longer(monkeypatch):
    def script(cluster, link, message):
        if len(cluster.attempts) <= 2:
            losing("worker")(cluster, link, message)
        else:
            answer(cluster, link, message)

    cluster = Cluster(script=script)
    cluster.alive = None

    async def story(executor):
        evaluation = asyncio.create_task(one(executor))
        while len(cluster.sent("ping")) < 2:
            await asyncio.sleep(0.01)
        cluster.link.lose()
        return outcome(await evaluation)

    assert play(monkeypatch, cluster, story) == (Outcome.OK, 42.0)


def test_a_cluster_that_comes_back_within_patience_costs_nothing_else(monkeypatch):
    def script(cluster, link, message):
        if len(cluster.links) == 1:
            cluster.refused = 20
            link.lose()
        else:
            answer(cluster, link, message)

    cluster = Cluster(script=script)
    assert outcome(play(monkeypatch, cluster, one, patience_s=60.0)) == (Outcome.OK, 42.0)
    assert len(cluster.links) == 2


def test_a_cluster_that_stays_lost_ends_the_run_with_a_word_on_how_to_go_on(monkeypatch):
    def script(cluster, link, message):
        cluster.refused = 10**6
        link.lose()

    async def story(executor):
        begun_at = asyncio.get_running_loop().time()
        with pytest.raises(ExecutorError, match=r"cannot be reached \(tried for 60 s; nothing is lost: `evolve resume` goes on\)"):
            await one(executor)
        return asyncio.get_running_loop().time() - begun_at

    assert 60 < play(monkeypatch, Cluster(script=script), story, patience_s=60.0) < 70


def test_entering_goes_on_elsewhere_where_a_place_does_not_get_ready(monkeypatch):
    def probe(cluster, link, message):
        if "a" in message["avoid"]:
            answer(cluster, link, message)
        else:
            placed(link, message, "a")

    cluster = Cluster(node("a"), node("b"))
    cluster.probe = probe
    assert outcome(play(monkeypatch, cluster, one)) == (Outcome.OK, 42.0)


def test_a_cluster_without_room_is_given_up_when_patience_ends_and_says_what_it_has(monkeypatch):
    cluster = Cluster(node("a", CPU=1.0))
    cluster.probe = lambda *_: None
    with pytest.raises(
        ExecutorError, match=r"no place for an evaluation \(cpus 1, .* oven 1\) within 30 s; it has: host-a: cpus 1"
    ):
        play(monkeypatch, cluster, one, patience_s=30.0, of=task(resources={"oven": 1}))
    assert cluster.link.left


def test_a_machine_that_has_no_room_and_never_will_says_so_at_once(monkeypatch):
    cluster = Cluster(node("a", CPU=1.0))
    cluster.probe = lambda *_: pytest.fail("nothing is to be asked for")
    reason = r"this machine has no room for an evaluation \(cpus 1, .* oven 1\); it has: host-a: cpus 1"
    with pytest.raises(ExecutorError, match=reason):
        play(monkeypatch, cluster, one, of=task(resources={"oven": 1}), at="ray")
    assert cluster.link.left


def test_what_is_waited_for_is_said_after_some_seconds_and_then_once_a_minute(monkeypatch, caplog):
    cluster = Cluster(node("a", CPU=1.0))
    cluster.probe = lambda *_: None
    with pytest.raises(ExecutorError, match="no place"):
        play(monkeypatch, cluster, one, patience_s=10.0, of=task(resources={"oven": 1}))
    said = "1 evaluations wait for a node that has room for one (cpus 1, memory 128 MB, oven 1); the cluster has: host-a: cpus 1"
    assert [said in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize("lost_first", [False, True])
def test_leaving_ends_evaluations_with_an_error_of_ours(monkeypatch, lost_first):
    def script(cluster, link, message):
        started(cluster, link, message, "a")
        if lost_first:
            cluster.refused = 10**6
            link.lose()

    evaluations = []

    async def story(executor):
        evaluations.append(asyncio.create_task(one(executor)))
        await asyncio.sleep(5.0)

    async def ended():
        (error,) = await asyncio.gather(*evaluations, return_exceptions=True)
        return error

    cluster = Cluster(script=script)

    async def left(executor):
        await story(executor)
        await executor.__aexit__(None, None, None)
        return await ended()

    error = play(monkeypatch, cluster, left)
    assert isinstance(error, ExecutorError), repr(error)


def test_an_executor_that_is_not_entered_says_so():
    executor = RayExecutor(task(), parse("h:1"))

    async def story():
        with pytest.raises(ExecutorError, match=r"not running.*async with"):
            await executor.evaluate(PROGRAM, seed=0)

    quickly(story())
    with pytest.raises(ExecutorError, match="known once the executor is entered"):
        assert executor.isolation


# Cancelling, and how many at once


def test_a_call_that_is_cancelled_ends_its_attempt(monkeypatch):
    cluster = Cluster(script=lambda cluster, link, message: started(cluster, link, message, "a"))

    async def story(executor):
        evaluation = asyncio.create_task(one(executor))
        await settled()
        evaluation.cancel()
        await asyncio.gather(evaluation, return_exceptions=True)
        return [message["attempt"] for message in cluster.sent("cancel")] == [cluster.attempts[0]["attempt"]]

    assert play(monkeypatch, cluster, story)


def test_slots_follow_the_nodes_unless_their_number_is_said(monkeypatch):
    async def story(executor):
        sizes = [executor.slots]
        for nodes in ([node("a"), BIG], [BIG], []):
            cluster.are(*nodes)
            sizes.append(executor.slots)
        return sizes

    cluster = Cluster(node("a"))
    assert play(monkeypatch, cluster, story) == [3, 18, 16, 1]
    cluster = Cluster(node("a"))
    assert play(monkeypatch, cluster, story, workers=5) == [5, 5, 5, 5]


def test_no_more_are_under_way_than_there_are_slots_and_a_node_that_joins_is_given_work(monkeypatch):
    waiting = []
    cluster = Cluster(node("a"), script=lambda *call: waiting.append(call))

    async def story(executor):
        calls = [asyncio.create_task(executor.evaluate(PROGRAM, seed=n)) for n in range(40)]
        await settled()
        seen = [len(waiting)]
        cluster.are(node("a"), BIG)
        await settled()
        seen.append(len(waiting))
        cluster.are(node("a"))
        while len(calls) > sum(call.done() for call in calls):
            assert waiting
            answer(*waiting.pop(0))
            await settled()
            assert len(waiting) <= 17
        return seen, sum(call.result().evaluation.objective == 42.0 for call in calls)

    assert play(monkeypatch, cluster, story) == ([3, 18], 40)


def test_of_hundreds_of_evaluations_on_a_cluster_that_loses_most_none_is_lost_or_taken_twice(monkeypatch):
    rng = random.Random(1)

    def script(cluster, link, message):
        seed = Order.unpacked(message["order"]).request["seed"]
        chance = rng.random()
        if chance < 0.3:
            lost(link, message, rng.choice(["node", "pressure"]))
        elif chance < 0.31 and not link.closed.done():
            link.lose()
        elif chance < 0.6:
            loop = asyncio.get_running_loop()
            loop.call_later(rng.random() * 20, lambda: answer(cluster, link, message, float(seed)))
        else:
            answer(cluster, link, message, float(seed))
            answer(cluster, link, message, -1.0)

    async def story(executor):
        found = await asyncio.gather(*(executor.evaluate(PROGRAM, seed=seed) for seed in range(300)))
        return [result.evaluation.objective for result in found]

    cluster = Cluster(*(node(name) for name in "abcdef"), script=script)
    assert play(monkeypatch, cluster, story) == [float(seed) for seed in range(300)]


@pytest.mark.parametrize("seed", range(5))
def test_calls_that_are_cancelled_in_any_state_leave_their_places_to_others(monkeypatch, seed):
    rng = random.Random(seed)
    under_way = set()

    def script(cluster, link, message):
        def end():
            under_way.discard(message["attempt"])
            if rng.random() < 0.5:
                answer(cluster, link, message)
            else:
                lost(link, message, rng.choice(["node", "pressure"]))

        under_way.difference_update(cancelled["attempt"] for cancelled in cluster.sent("cancel"))
        under_way.add(message["attempt"])
        assert len(under_way) <= 4
        asyncio.get_running_loop().call_later(rng.random() * 3, end)

    async def story(executor):
        calls = [asyncio.create_task(executor.evaluate(PROGRAM, seed=n)) for n in range(60)]
        cancelled = set(rng.sample(range(60), 30))
        for number in sorted(cancelled, key=lambda _: rng.random()):
            await asyncio.sleep(rng.random() * 2)
            calls[number].cancel()
        found = await asyncio.gather(*calls, return_exceptions=True)
        kept = [result for number, result in enumerate(found) if number not in cancelled]
        return [result.evaluation.objective for result in kept], executor._gate._inside, executor._attempts._open

    assert play(monkeypatch, Cluster(script=script), story, workers=4) == ([42.0] * 30, 0, {})


@pytest.mark.parametrize(("workers", "grace_s"), [(0, 30.0), (-1, 30.0), (1, 0.0)])
def test_numbers_out_of_range_are_refused(workers, grace_s):
    with pytest.raises(ValueError, match=r"must be >=? [01], got"):
        RayExecutor(task(), parse("h:1"), workers, evaluator_grace_s=grace_s)


def test_patience_is_positive():
    with pytest.raises(ValueError, match="patience_s must be > 0, got 0"):
        ClusterConfig(patience_s=0)


def test_the_deadline_covers_every_repeat_of_a_task(monkeypatch):
    def script(cluster, link, message):
        started(cluster, link, message, "a")

    async def story(executor):
        return (await one(executor)).feedback

    limits = Limits(timeout_s=1.0, wall_timeout_s=100.0)
    assert "nothing was heard of it for 275 s" in play(monkeypatch, Cluster(script=script), story, of=task(limits=limits))


def test_a_machine_without_ray_says_how_to_get_it(monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(ExecutorError, match=r"not installed: pip install 'evolve-platform\[ray\]'"):
        RayExecutor(task(), parse("ray"))
