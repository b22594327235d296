import asyncio

from cluster_kit import quickly

from evolve.executors.cluster.attempts import Answer, Attempts, Cause, Loss
from evolve.executors.cluster.orders import Refusal


def books():
    return Attempts(deadline_s=10.0, ready_s=20.0, unheard_s=30.0)


def started(attempt, node="n", host="h"):
    return {"attempt": attempt.number, "node": node, "host": host}


def answered(attempt, content=b"1"):
    return {"attempt": attempt.number, "answer": content}


def lost(attempt, cause="worker", **more):
    return {"attempt": attempt.number, "cause": cause, "why": "it ended", "node": "n", **more}


def test_an_answer_says_where_it_was_made():
    async def story():
        attempts = books()
        attempt = attempts.begin()
        assert attempts.waiting() == 1
        assert attempts.started(started(attempt, host="oak"))
        assert attempts.waiting() == 0
        attempts.answered(answered(attempt, b"42"))
        return await attempt.ended

    assert quickly(story()) == Answer(b"42", "oak")


def test_of_several_words_on_an_attempt_the_first_counts():
    async def story():
        attempts = books()
        attempt = attempts.begin()
        attempts.answered(answered(attempt, b"first"))
        attempts.answered(answered(attempt, b"second"))
        attempts.lost(lost(attempt))
        attempts.lose_all("the cluster is gone")
        return (await attempt.ended).content

    assert quickly(story()) == b"first"


def test_late_words_on_an_attempt_that_was_given_up_find_nobody():
    async def story():
        attempts = books()
        old, new = attempts.begin(), attempts.begin()
        attempts.end(old)
        assert attempts.placed(started(old)) is None
        assert not attempts.started(started(old))
        attempts.answered(answered(old))
        attempts.lost(lost(old))
        assert attempts.waiting() == 1
        return old.ended.done(), new.ended.done()

    assert quickly(story()) == (False, False)


def test_a_loss_says_why_and_where():
    async def story():
        attempts = books()
        refused, ended = attempts.begin(), attempts.begin()
        attempts.lost(lost(refused, "refused", refusal="task", host="elm"))
        attempts.started(started(ended, host="oak"))
        attempts.lost(lost(ended))
        return await refused.ended, await ended.ended

    refused, ended = quickly(story())
    assert refused == Loss(Cause.REFUSED, "it ended", "n", "elm", Refusal.TASK)
    assert ended == Loss(Cause.WORKER, "it ended", "n", "oak", None)


def test_the_connection_takes_every_attempt_with_it():
    async def story():
        attempts = books()
        both = [attempts.begin(), attempts.begin()]
        attempts.started(started(both[1]))
        attempts.lose_all("the head is gone")
        return [await attempt.ended for attempt in both]

    assert quickly(story()) == [Loss(Cause.LINK, "the head is gone")] * 2


def test_an_attempt_is_overdue_only_after_the_deadline_and_from_when_it_began():
    async def story():
        attempts = books()
        attempt = attempts.begin()
        await asyncio.sleep(100.0)  # waiting for a place is no fault of its own
        assert attempts.overdue() == []
        attempts.started(started(attempt, "n", "oak"))
        await asyncio.sleep(10.0)
        assert attempts.overdue() == []
        await asyncio.sleep(0.1)
        assert attempts.overdue() == [attempt]
        assert attempts.overdue() == []
        return await attempt.ended

    assert quickly(story()) == Loss(Cause.OVERDUE, "nothing was heard of it for 10 s", "n", "oak")


def test_a_place_may_take_its_time_to_get_ready_and_the_deadline_counts_from_when_it_is():
    async def story():
        attempts = books()
        attempt = attempts.begin()
        await asyncio.sleep(100.0)
        assert attempts.placed(started(attempt)) is attempt
        assert attempts.waiting() == 0
        await asyncio.sleep(20.0)
        assert attempts.overdue() == []
        attempts.started(started(attempt))
        await asyncio.sleep(10.0)
        assert attempts.overdue() == []
        await asyncio.sleep(0.1)
        return attempts.overdue() == [attempt], (await attempt.ended).cause

    assert quickly(story()) == (True, Cause.OVERDUE)


def test_a_place_that_is_not_ready_in_time_is_its_nodes_fault():
    async def story():
        attempts = books()
        attempt = attempts.begin()
        attempts.placed(started(attempt, "n", "oak"))
        await asyncio.sleep(20.1)
        assert attempts.overdue() == [attempt]
        return await attempt.ended

    assert quickly(story()) == Loss(Cause.NODE, "its place was not ready within 20 s", "n", "oak")


def test_a_worker_that_ends_before_its_place_is_ready_is_its_nodes_fault():
    async def story():
        attempts = books()
        attempt = attempts.begin()
        attempts.placed(started(attempt, "n", "oak"))
        attempts.lost(lost(attempt, "worker"))
        return await attempt.ended

    assert quickly(story()) == Loss(Cause.NODE, "it ended", "n", "oak")


def test_an_attempt_that_was_answered_is_never_overdue():
    async def story():
        attempts = books()
        attempt = attempts.begin()
        attempts.started(started(attempt))
        attempts.answered(answered(attempt))
        await asyncio.sleep(100.0)
        return attempts.overdue()

    assert quickly(story()) == []


def test_one_that_waits_is_given_up_only_where_later_ones_were_let_in():
    async def story():
        attempts = books()
        first, second, third = (attempts.begin() for _ in range(3))
        attempts.started(started(second))
        attempts.answered(answered(second))
        attempts.end(second)
        await asyncio.sleep(30.0)
        assert attempts.overdue() == []
        await asyncio.sleep(0.1)
        late = attempts.overdue()
        return late == [first], await first.ended, third.ended.done()

    mine, loss, third = quickly(story())
    assert mine
    assert (loss.cause, loss.why) == (Cause.LINK, "it waited for a place while later ones found theirs")
    assert not third


def test_one_that_waits_is_given_up_where_a_later_one_found_a_place_that_is_not_ready_yet():
    async def story():
        attempts = books()
        first, second = attempts.begin(), attempts.begin()
        await asyncio.sleep(20.0)
        attempts.placed(started(second))
        await asyncio.sleep(10.1)
        return attempts.overdue() == [first]

    assert quickly(story())


def test_a_word_of_an_attempt_that_nobody_keeps_does_not_count_as_a_later_one():
    async def story():
        attempts = books()
        waiting, given_up = attempts.begin(), attempts.begin()
        attempts.end(given_up)
        attempts.started(started(given_up))
        await asyncio.sleep(100.0)
        return attempts.overdue(), waiting.ended.done()

    assert quickly(story()) == ([], False)
