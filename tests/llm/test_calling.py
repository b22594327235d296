import asyncio
import inspect
import logging
import time

import numpy as np
import pytest
from fake_clock import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

from evolve.budget import Budget, Dollars
from evolve.errors import BudgetExceeded
from evolve.llm.base import CallFailed, Completion, Failure, Finish, Message, ModelRequest, Role, Usage
from evolve.llm.call_config import CallConfig
from evolve.llm.calling import Called, Caller
from evolve.llm.prices import FREE, Price, upper_bound_tokens
from evolve.llm.specs import parse_spec
from evolve.llm.stopping import Stopping

REQUEST = ModelRequest((Message(Role.USER, "x" * 360),), max_tokens=1000)
#: One dollar a token, so that dollars and tokens are the same number.
DOLLAR_A_TOKEN = Price(1e6, 1e6, 1e6)
WORST = upper_bound_tokens(REQUEST) + REQUEST.max_tokens
OK = Completion("fine", usage=Usage(100, 20, 50, 10))


class Model:
    """Answers what a script says: completions are returned, exceptions raised, functions called with the clock's time."""

    name = "fake/model"

    def __init__(self, script=(), then=OK, clock=None, takes=1.0):
        self.script, self.then, self.clock, self.takes = list(script), then, clock, takes
        self.asked, self.in_flight, self.most = [], 0, 0

    async def complete(self, request):
        self.asked.append(self.clock())
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            if self.takes:
                await self.clock.sleep(self.takes)
            answer = self.script.pop(0) if self.script else self.then
            answer = answer(self.clock()) if callable(answer) else answer
            if isinstance(answer, BaseException):
                raise answer
            return answer
        finally:
            self.in_flight -= 1

    async def close(self):
        pass


class Book:
    """A ledger in memory."""

    def __init__(self, model=None):
        self.begun, self.done, self.model = [], [], model
        self.asked_before = []
        self.earlier = 0

    def number(self, step, attempt):
        return self.earlier + sum((call.step, call.attempt) == (step, attempt) for call in self.begun)

    def began(self, call):
        self.asked_before.append(len(self.model.asked) if self.model else None)
        self.begun.append(call)

    def ended(self, call):
        self.done.append(call)


class Bench:
    """A caller and everything around it."""

    def __init__(self, script=(), *, then=OK, cap=None, price=DOLLAR_A_TOKEN, spec="", takes=1.0, **config):
        self.clock = Clock()
        self.model = Model(script, then, self.clock, takes)
        self.book = Book(self.model)
        self.dollars = Dollars(cap)
        self.caller = Caller(
            self.model,
            parse_spec(f"openai/fake{spec}"),
            price,
            self.dollars,
            self.book,
            rng=np.random.default_rng(0),
            config=CallConfig(**config),
            clock=self.clock,
            sleep=self.clock.sleep,
        )

    def call(self, step=1, attempt=0):
        return self.caller.call(REQUEST, step, attempt)

    @property
    def outcomes(self):
        return [call.outcome for call in self.book.done]


def failed(failure, retry_after_s=None):
    return CallFailed(f"it is {failure.value}", failure, retry_after_s)


def run(scenario):
    return asyncio.run(asyncio.wait_for(scenario, 60))


def test_an_answer_is_recorded_before_and_after_and_settled():
    bench = Bench([OK])
    bench.book.earlier = 3

    async def scenario():
        return await bench.call(step=7, attempt=2)

    called = run(scenario())
    assert (called.completion, called.usage) == (OK, OK.usage)
    assert (called.cost_usd, called.latency_s, called.n_calls) == (150.0, 1.0, 1)
    (begun,), (done,) = bench.book.begun, bench.book.done
    assert bench.book.asked_before == [0]  # on disk before the model was asked
    assert (begun.step, begun.attempt, begun.number, begun.model, begun.reserved_usd) == (7, 2, 3, "fake/model", WORST)
    assert (done.step, done.attempt, done.number, done.outcome, done.usd, done.presumed) == (7, 2, 3, "ok", 150.0, False)
    assert (done.tokens_in, done.tokens_cached, done.tokens_out, done.tokens_reasoning) == (100, 20, 50, 10)
    assert (bench.dollars.spent, bench.dollars.reserved) == (150.0, 0.0)


@pytest.mark.parametrize(("finish", "outcome"), [(Finish.LENGTH, "length"), (Finish.REFUSED, "refused"), (Finish.EMPTY, "empty")])
def test_how_an_answer_ended_is_recorded(finish, outcome):
    bench = Bench([Completion("", finish, Usage(1, 0, 1))])

    async def scenario():
        await bench.call()

    run(scenario())
    assert bench.outcomes == [outcome]


def test_the_cost_that_a_provider_reports_wins_over_the_table():
    bench = Bench([Completion("a", usage=Usage(1, 0, 1), cost_usd=7.0)])

    async def scenario():
        return await bench.call()

    assert run(scenario()).cost_usd == 7.0


def test_a_server_that_counts_no_tokens_has_them_estimated_and_the_worst_presumed():
    bench = Bench([Completion("y" * 36)])

    async def scenario():
        return await bench.call()

    called = run(scenario())
    assert (called.usage, called.cost_usd, bench.book.done[0].presumed) == (Usage(100, 0, 10), WORST, True)


def test_an_unknown_price_reserves_nothing_and_costs_what_the_model_reports():
    bench = Bench([OK, Completion("a", cost_usd=0.5)], price=None)

    async def scenario():
        return [(await bench.call()).cost_usd for _ in range(2)]

    assert run(scenario()) == [0.0, 0.5]
    assert [call.reserved_usd for call in bench.book.begun] == [0.0, 0.0]
    assert bench.dollars.spent == 0.5


@pytest.mark.parametrize("failure", [failure for failure in Failure if failure.transient])
def test_a_transient_failure_is_tried_again(failure):
    bench = Bench([failed(failure)])

    async def scenario():
        return await bench.call()

    called = run(scenario())
    charged = WORST if failure.charged else 0.0
    assert (called.n_calls, called.cost_usd, called.latency_s) == (2, charged + 150.0, 2.0)
    assert bench.outcomes == [failure.value, "ok"]
    assert [call.number for call in bench.book.begun] == [0, 1]
    first = bench.book.done[0]
    assert (first.usd, first.presumed, first.error) == (charged, failure.charged, f"it is {failure.value}")
    assert bench.dollars.spent == charged + 150.0


@pytest.mark.parametrize("failure", [failure for failure in Failure if not failure.transient])
def test_other_failures_are_raised_at_once_and_cost_nothing(failure):
    bench = Bench([failed(failure)])

    async def scenario():
        with pytest.raises(CallFailed, match=failure.value):
            await bench.call()

    run(scenario())
    assert (bench.outcomes, bench.dollars.spent, bench.dollars.reserved) == ([failure.value], 0.0, 0.0)


def test_waits_are_drawn_from_a_doubling_time():
    bench = Bench([failed(Failure.OVERLOADED)] * 2, takes=0)

    async def scenario():
        await bench.call()

    run(scenario())
    draws = np.random.default_rng(0)
    assert bench.clock.slept == [draws.uniform(0, 1), draws.uniform(0, 2)]


@pytest.mark.parametrize(("asked", "granted"), [(20.0, 20.0), (7200.0, 60.0)])
def test_retry_after_is_honoured_up_to_the_longest_wait(asked, granted):
    bench = Bench([failed(Failure.RATE_LIMITED, asked)], takes=0)

    async def scenario():
        await bench.call()

    run(scenario())
    first, second = bench.model.asked
    assert granted <= second - first <= granted + 1.0


def test_a_call_is_given_up_after_its_number_of_attempts():
    bench = Bench(then=failed(Failure.RATE_LIMITED), max_attempts=2)

    async def scenario():
        with pytest.raises(CallFailed, match="rate_limited"):
            await bench.call()

    run(scenario())
    assert bench.outcomes == ["rate_limited"] * 2


def test_a_call_is_given_up_when_its_patience_is_over():
    bench = Bench(then=failed(Failure.UNREACHABLE))

    async def scenario():
        with pytest.raises(CallFailed, match="unreachable"):
            await bench.call()

    run(scenario())
    assert bench.model.asked[-1] - bench.model.asked[0] <= 180.0


@pytest.mark.parametrize("callers", [1, 8, 40])
def test_a_network_lost_for_a_minute_fails_nobody_and_is_not_hammered(callers):
    def weather(now):
        return OK if now >= 1060.0 else failed(Failure.UNREACHABLE)

    bench = Bench(then=weather, takes=0.1)

    async def scenario():
        return await asyncio.gather(*(bench.call(step) for step in range(callers)))

    assert len(run(scenario())) == callers
    # Those in flight when it went away, then one probe at a time: after 5, 10, 20 and 40 seconds.
    lost = [at for at in bench.model.asked if at < 1060.0]
    assert len(lost) <= min(16, callers) + 2 + 4
    assert bench.dollars.reserved == 0.0


def test_while_a_probe_is_out_nobody_else_is_sent():
    bench = Bench([failed(Failure.UNREACHABLE)] * 3, takes=3.0)

    async def scenario():
        await asyncio.gather(*(bench.call(step) for step in range(3)))

    run(scenario())
    probe, *others = bench.model.asked[3:]
    assert all(at >= probe + 3.0 for at in others)


def test_a_planner_sees_why_a_model_is_not_available_and_when_it_will_be():
    bench = Bench([failed(Failure.UNAUTHORIZED)])

    async def scenario():
        assert (bench.caller.available, bench.caller.reopens_in_s, bench.caller.reason) == (True, 0.0, "")
        with pytest.raises(CallFailed):
            await bench.call()
        assert (bench.caller.available, bench.caller.reopens_in_s) == (False, 60.0)
        assert bench.caller.reason == "unauthorized: it is unauthorized"
        with pytest.raises(CallFailed, match="not asked for 60 s: unauthorized: it is") as error:
            await bench.call()
        assert (error.value.failure, len(bench.model.asked)) == (Failure.UNAUTHORIZED, 1)
        bench.clock.now += 60.0
        assert bench.caller.available
        await bench.call()
        assert (bench.caller.available, bench.caller.reason) == (True, "")

    run(scenario())


def test_the_faults_of_requests_do_not_make_a_model_unavailable_that_has_answered():
    bench = Bench([OK, *[failed(Failure.CONTEXT_OVERFLOW), failed(Failure.BAD_REQUEST)] * 3])

    async def scenario():
        await bench.call()
        for _ in range(6):
            with pytest.raises(CallFailed):
                await bench.call()
        assert bench.caller.available

    run(scenario())


def test_a_model_that_takes_no_request_is_given_up_after_three_with_its_words():
    bench = Bench(then=failed(Failure.BAD_REQUEST))

    async def scenario():
        for _ in range(5):
            with pytest.raises(CallFailed) as error:
                await bench.call()
        assert (error.value.failure, bench.caller.hopeless) == (Failure.BAD_REQUEST, True)
        assert str(error.value).endswith("bad_request: it is bad_request")

    run(scenario())
    assert len(bench.model.asked) == 3


@pytest.mark.parametrize("last", [OK, failed(Failure.BAD_REQUEST)])
def test_a_model_that_takes_no_request_is_not_given_up_while_one_is_under_way(last):
    bench = Bench([failed(Failure.BAD_REQUEST)] * 3, then=last, takes=0)

    async def scenario():
        answering = asyncio.Event()

        async def complete(request, ask=bench.model.complete):
            if len(bench.model.asked) == 0:
                bench.model.asked.append(bench.clock())
                await answering.wait()
                if last is not OK:
                    raise last
                return last
            return await ask(request)

        bench.model.complete = complete
        slow = asyncio.create_task(bench.call())
        while not bench.model.asked:
            await asyncio.sleep(0)
        await asyncio.gather(*(bench.call(step) for step in range(2, 5)), return_exceptions=True)
        assert (bench.caller.available, bench.caller.hopeless) == (False, False)
        answering.set()
        await asyncio.gather(slow, return_exceptions=True)
        assert (bench.caller.available, bench.caller.hopeless) == ((True, False) if last is OK else (False, True))

    run(scenario())


def test_no_more_calls_are_in_flight_than_the_spec_says():
    bench = Bench(spec="[concurrency=3]")

    async def scenario():
        await asyncio.gather(*(bench.call(step) for step in range(10)))

    run(scenario())
    assert bench.model.most == 3


def test_calls_keep_to_the_limits_of_a_minute():
    bench = Bench(spec="[per_minute=2]", takes=0)

    async def scenario():
        await asyncio.gather(*(bench.call(step) for step in range(5)))

    run(scenario())
    assert bench.model.asked == [1000.0, 1000.0, 1060.0, 1060.0, 1120.0]


def test_tokens_count_as_the_server_counted_them_once_it_did():
    # A call is expected to take 100 + 1000 tokens and takes 150: two of the former do not fit, six of the latter and one do.
    bench = Bench(spec="[tokens_per_minute=2100]", takes=0)

    async def scenario():
        for step in range(7):
            await bench.call(step)

    run(scenario())
    assert bench.model.asked == [1000.0] * 7


async def watch(dollars):
    """Runs beside a scenario and looks at the sum at every turn of the loop."""
    while True:
        assert dollars.spent + dollars.reserved <= dollars.cap
        await asyncio.sleep(0)


@pytest.mark.parametrize("usage", [OK.usage, Usage(upper_bound_tokens(REQUEST), 0, 1000)])
def test_sixteen_calls_in_flight_never_exceed_a_cap(usage):
    bench = Bench(then=Completion("a", usage=usage), cap=20.5 * WORST)

    async def scenario():
        watcher = asyncio.create_task(watch(bench.dollars))
        results = await asyncio.gather(*(bench.call(step) for step in range(16 * 16)), return_exceptions=True)
        assert not watcher.done()
        watcher.cancel()
        return results

    results = run(scenario())
    done = [result for result in results if not isinstance(result, Exception)]
    assert all(isinstance(result, BudgetExceeded) for result in results if result not in done)
    assert bench.model.most == 16
    assert bench.dollars.spent == sum(call.usd for call in bench.book.done) <= 20.5 * WORST
    # Calls are refused only once another would not fit.
    assert bench.dollars.spent + WORST > 20.5 * WORST
    assert len(done) == (20 if usage != OK.usage else len(bench.book.done))


@pytest.mark.parametrize("usage", [Usage(100, 20, 50, 10, 80), Usage(upper_bound_tokens(REQUEST), 0, 1000, 0, 10**6)])
def test_a_cap_holds_where_prompts_are_written_to_a_cache_for_more_than_others_cost(usage):
    price = Price(1e6, 1e5, 1e6, 1.25e6)
    worst = price.most(upper_bound_tokens(REQUEST), 1000)
    bench = Bench(then=Completion("a", usage=usage), cap=20.5 * worst, price=price)

    async def scenario():
        watcher = asyncio.create_task(watch(bench.dollars))
        results = await asyncio.gather(*(bench.call(step) for step in range(16 * 16)), return_exceptions=True)
        assert not watcher.done()
        watcher.cancel()
        return [result for result in results if not isinstance(result, BudgetExceeded)]

    done = run(scenario())
    assert bench.dollars.spent == pytest.approx(sum(called.cost_usd for called in done))
    assert 19 * worst < bench.dollars.spent <= 20.5 * worst
    assert bench.book.done[0].usd == price.cost(usage)


ENDS = st.one_of(
    st.sampled_from(list(Failure)).map(failed),
    st.integers(1, 1000).map(lambda tokens: Completion("a", usage=Usage(100, 0, tokens))),
    st.just(Completion("no count")),
)


@settings(deadline=None)  # a shared machine may stall
@given(
    script=st.lists(ENDS, max_size=30),
    cancelled=st.lists(st.tuples(st.integers(0, 19), st.integers(0, 60)), max_size=6),
    cap=st.sampled_from([None, 2.5, 10.0, 100.0]),
    concurrency=st.integers(1, 16),
)
def test_whatever_happens_every_call_is_begun_and_ended_once_and_paid_once(script, cancelled, cap, concurrency):
    bench = Bench(script, cap=None if cap is None else cap * WORST, spec=f"[concurrency={concurrency}]")

    async def scenario():
        watcher = asyncio.create_task(asyncio.sleep(60) if cap is None else watch(bench.dollars))
        tasks = [asyncio.create_task(bench.call(step)) for step in range(20)]
        for step, turns in cancelled:
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks[step].cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not watcher.done()
        watcher.cancel()
        return results

    results = run(scenario())
    assert all(isinstance(result, CallFailed | BudgetExceeded | asyncio.CancelledError | Called) for result in results)
    begun = sorted((call.step, call.number) for call in bench.book.begun)
    assert begun == sorted((call.step, call.number) for call in bench.book.done)
    assert len(set(begun)) == len(begun) == len(bench.model.asked)
    assert all(number == 0 or (step, number - 1) in begun for step, number in begun)
    assert bench.dollars.reserved == 0.0
    assert bench.dollars.spent == sum(call.usd for call in bench.book.done)
    for step, result in enumerate(results):
        if isinstance(result, Called):
            mine = [call for call in bench.book.done if call.step == step]
            assert (result.n_calls, result.cost_usd) == (len(mine), sum(call.usd for call in mine))


def test_a_call_that_waited_for_its_minute_is_not_sent_to_a_model_that_failed_meanwhile():
    bench = Bench([failed(Failure.UNAUTHORIZED)], spec="[per_minute=1]")

    async def scenario():
        return await asyncio.gather(bench.call(1), bench.call(2), return_exceptions=True)

    assert [result.failure for result in run(scenario())] == [Failure.UNAUTHORIZED] * 2
    assert len(bench.model.asked) == 1


async def open_breaker(bench):
    """Lets three calls fail, and takes them back before they are tried again."""
    tasks = [asyncio.create_task(bench.call(step)) for step in range(3)]
    while len(bench.book.done) < 3:
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_a_probe_cancelled_while_it_waits_for_dollars_lets_another_probe():
    bench = Bench([failed(Failure.UNREACHABLE)] * 3, cap=10 * WORST)

    async def scenario():
        await open_breaker(bench)
        held = await bench.dollars.reserve(10 * WORST)
        bench.clock.now += 5.0
        probe = asyncio.create_task(bench.call(3))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not bench.caller.available
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        assert bench.caller.available
        held.release()
        return await bench.call(4)

    assert run(scenario()).n_calls == 1


def test_waiting_for_ones_turn_does_not_use_up_the_patience_for_failures():
    # Opens at 1001; the breaker lets the fourth through at 1006, the limit at 1060: its first failure is that of 1061.
    bench = Bench([failed(Failure.UNREACHABLE)] * 4, spec="[per_minute=3]", give_up_s=50.0)

    async def scenario():
        await open_breaker(bench)
        return await bench.call(3)

    assert run(scenario()).n_calls == 2
    assert bench.model.asked[3] == 1060.0


def test_a_call_cancelled_on_its_way_leaves_nothing_behind():
    bench = Bench(cap=1.5 * WORST)

    async def scenario():
        first, second = asyncio.create_task(bench.call(1)), asyncio.create_task(bench.call(2))
        for _ in range(5):
            await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        await first

    run(scenario())
    assert [call.step for call in bench.book.begun] == [1]
    assert (bench.dollars.spent, bench.dollars.reserved) == (150.0, 0.0)


def test_a_call_cancelled_in_flight_is_recorded_and_presumed_spent():
    bench = Bench(cap=10 * WORST)

    async def scenario():
        task = asyncio.create_task(bench.call())
        while not bench.model.asked:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(scenario())
    (done,) = bench.book.done
    assert (done.outcome, done.usd, done.presumed) == ("cancelled", WORST, True)
    assert (bench.dollars.spent, bench.dollars.reserved, bench.model.in_flight) == (WORST, 0.0, 0)


def test_a_client_that_breaks_its_contract_is_recorded_too():
    bench = Bench([ZeroDivisionError("oops")])

    async def scenario():
        with pytest.raises(ZeroDivisionError):
            await bench.call()

    run(scenario())
    assert (bench.outcomes, bench.book.done[0].error) == (["cancelled"], "ZeroDivisionError: oops")
    assert (bench.dollars.spent, bench.dollars.reserved) == (WORST, 0.0)


def test_a_cancelled_probe_lets_another_probe():
    bench = Bench([failed(Failure.UNREACHABLE)] * 3)

    async def scenario():
        tasks = [asyncio.create_task(bench.call(step)) for step in range(3)]
        while len(bench.model.asked) < 4:
            await asyncio.sleep(0)
        prober = tasks[bench.book.begun[3].step]
        prober.cancel()
        await asyncio.gather(*(task for task in tasks if task is not prober))

    run(scenario())
    assert sorted(bench.outcomes) == ["cancelled", "ok", "ok", "unreachable", "unreachable", "unreachable"]


def test_what_cannot_be_written_down_is_not_sent():
    bench = Bench(cap=10 * WORST)

    def full(call):
        raise OSError("no space left")

    bench.book.began = full

    async def scenario():
        with pytest.raises(OSError, match="no space"):
            await bench.call()

    run(scenario())
    assert (bench.model.asked, bench.dollars.reserved, bench.dollars.spent) == ([], 0.0, 0.0)


def test_a_disk_that_fails_afterwards_does_not_hold_up_others():
    bench = Bench(cap=10 * WORST)

    def full(call):
        raise OSError("no space left")

    bench.book.ended = full

    async def scenario():
        with pytest.raises(OSError, match="no space"):
            await bench.call()

    run(scenario())
    assert (bench.dollars.spent, bench.dollars.reserved) == (150.0, 0.0)


def test_a_model_that_never_answers_is_stopped_by_the_timeout():
    bench = Bench(spec="[timeout_s=0.01]", max_attempts=1)

    async def never(seconds):
        await asyncio.Event().wait()

    bench.model.clock = type("Stopped", (), {"__call__": lambda self: 0.0, "sleep": staticmethod(never)})()

    async def scenario():
        with pytest.raises(CallFailed, match=r"did not answer within 0\.01 s") as error:
            await bench.call()
        assert error.value.failure is Failure.TIMED_OUT

    run(scenario())
    assert bench.book.done[0].presumed


def test_a_clock_that_stands_or_goes_back_makes_no_negative_time():
    bench = Bench(takes=0)
    times = iter([50.0, 50.0, 50.0, 50.0, 40.0, 40.0])
    bench.caller._clock = lambda: next(times, 40.0)

    async def scenario():
        return await bench.call()

    assert run(scenario()).latency_s == 0.0


@pytest.mark.parametrize("waits_for", ["its next try", "the breaker"])
def test_a_machine_that_sleeps_between_two_tries_uses_up_no_patience(waits_for):
    failures = 1 if waits_for == "its next try" else 3
    bench = Bench([failed(Failure.UNREACHABLE)] * failures + [failed(Failure.UNREACHABLE)], takes=0)
    awake = bench.clock.sleep

    async def sleep(seconds):
        if len(bench.model.asked) == failures and bench.clock.now < 8 * 3600:
            bench.clock.now += 8 * 3600  # the lid is shut, and the network not up yet when it is opened
        await awake(seconds)

    bench.caller._sleep = sleep

    async def scenario():
        return await bench.call()

    assert run(scenario()).n_calls == failures + 2
    assert bench.clock.now > 8 * 3600


@pytest.mark.parametrize("counts_seconds", [Caller, Budget])
def test_seconds_are_counted_by_a_clock_that_nobody_can_set_back(counts_seconds):
    assert inspect.signature(counts_seconds).parameters["clock"].default is time.monotonic


def test_each_failure_that_is_tried_again_is_logged(caplog):
    bench = Bench([failed(Failure.OVERLOADED)])

    async def scenario():
        with caplog.at_level(logging.WARNING, "evolve.llm.calling"):
            await bench.call(step=4)

    run(scenario())
    assert "fake/model: it is overloaded; tried again in" in caplog.text


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_attempts", 0), ("give_up_s", -1.0), ("first_wait_s", float("nan")), ("max_wait_s", float("inf"))],
)
def test_settings_that_make_no_sense_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        CallConfig(**{field: value})


# Stopping


def test_a_stop_ends_the_waits_between_calls_and_begins_no_other():
    bench = Bench(then=failed(Failure.OVERLOADED), first_wait_s=50.0)

    async def scenario():
        waiting = asyncio.create_task(bench.call())
        while not bench.book.done:
            await asyncio.sleep(0)
        bench.caller.stop()
        with pytest.raises(Stopping):
            await waiting
        with pytest.raises(Stopping):
            await bench.call()

    run(scenario())
    assert len(bench.book.begun) == 1
    assert bench.dollars.reserved == 0


def test_a_call_that_was_sent_before_a_stop_is_awaited():
    bench = Bench([OK], takes=5.0)

    async def scenario():
        waiting = asyncio.create_task(bench.call())
        while not bench.model.asked:
            await asyncio.sleep(0)
        bench.caller.stop()
        return await waiting

    assert run(scenario()).completion is OK
    assert bench.outcomes == ["ok"]


def test_those_who_wait_for_a_turn_are_not_asked_after_a_stop():
    bench = Bench(spec="[concurrency=1]")

    async def scenario():
        calls = [asyncio.create_task(bench.call(step)) for step in range(5)]
        while not bench.model.asked:
            await asyncio.sleep(0)
        bench.caller.stop()
        return await asyncio.gather(*calls, return_exceptions=True)

    results = run(scenario())
    assert [isinstance(result, Stopping) for result in results] == [False, True, True, True, True]
    assert len(bench.model.asked) == 1


def test_what_a_call_may_cost_at_most_is_reserved_in_place_of_the_price_of_its_tokens():
    bench = Bench([Completion("a", cost_usd=0.25), OK], cap=10.0, spec="[call_usd=2]")

    async def scenario():
        return (await bench.call()).cost_usd

    assert run(scenario()) == 0.25
    assert bench.book.begun[0].reserved_usd == 2.0
    assert (bench.dollars.spent, bench.dollars.reserved) == (0.25, 0.0)


@pytest.mark.parametrize("completion", [Completion("a"), OK])
def test_without_price_and_report_a_call_is_presumed_to_have_cost_the_most_that_it_may(completion):
    bench = Bench([completion], cap=10.0, spec="[call_usd=2]", price=None)

    async def scenario():
        return (await bench.call()).cost_usd

    assert run(scenario()) == 2.0
    assert bench.book.done[0].presumed


def test_under_a_subscription_what_is_reported_does_not_count():
    bench = Bench([Completion("a", cost_usd=7.0)], cap=1.0, spec="[price=0,call_usd=2]", price=FREE)

    async def scenario():
        return (await bench.call()).cost_usd

    assert run(scenario()) == 0.0
    assert bench.book.begun[0].reserved_usd == bench.dollars.spent == 0.0


def test_agents_that_share_a_budget_never_exceed_it():
    bench = Bench(then=Completion("a", cost_usd=2.0), cap=9.0, spec="[call_usd=2]", price=None)

    async def scenario():
        return await asyncio.gather(*(bench.call(step) for step in range(8)), return_exceptions=True)

    outcomes = run(scenario())
    assert [type(outcome) for outcome in outcomes] == [Called] * 4 + [BudgetExceeded] * 4
    assert bench.dollars.spent == 8.0


@pytest.mark.parametrize(
    ("spec", "cap"),
    [("", WORST * 1.5), ("[per_minute=1]", None), ("[tokens_per_minute=1500]", None), ("[per_minute=1]", WORST * 1.5)],
)
def test_a_stop_ends_the_waits_for_dollars_and_for_limits_at_once(spec, cap):
    bench = Bench(cap=cap, spec=spec, takes=5.0)

    async def scenario():
        calls = [asyncio.create_task(bench.call(step)) for step in range(3)]
        while not bench.model.asked:
            await asyncio.sleep(0)
        bench.caller.stop()
        waiting = await asyncio.gather(*calls[1:], return_exceptions=True)
        assert (bench.clock.now, calls[0].done()) == (1000.0, False)
        return [await calls[0], *waiting]

    results = run(scenario())
    assert [type(result) for result in results] == [Called, Stopping, Stopping]
    assert (len(bench.model.asked), len(bench.book.begun), bench.dollars.reserved) == (1, 1, 0)


@pytest.mark.parametrize("lag", range(6))
def test_whoever_is_granted_dollars_while_the_run_stops_is_not_asked_and_gives_them_back(lag):
    bench = Bench(cap=10 * WORST)

    async def scenario():
        held = await bench.dollars.reserve(10 * WORST)
        calls = [asyncio.create_task(bench.call(step)) for step in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        bench.caller.stop()
        for _ in range(lag):
            await asyncio.sleep(0)
        held.release()
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [type(result) for result in run(scenario())] == [Stopping] * 3
    assert (bench.model.asked, bench.dollars.reserved, bench.dollars.left) == ([], 0.0, 10 * WORST)


def test_whoever_was_granted_dollars_just_before_the_run_stops_is_not_asked_and_gives_them_back():
    bench = Bench(cap=10 * WORST)

    async def scenario():
        held = await bench.dollars.reserve(10 * WORST)
        calls = [asyncio.create_task(bench.call(step)) for step in range(3)]
        for _ in range(5):
            await asyncio.sleep(0)
        held.release()
        bench.caller.stop()
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [type(result) for result in run(scenario())] == [Stopping] * 3
    assert (bench.model.asked, bench.dollars.reserved, bench.dollars.left) == ([], 0.0, 10 * WORST)
    assert bench.caller.available
