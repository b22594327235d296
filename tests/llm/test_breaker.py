import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from evolve.llm.base import Failure
from evolve.llm.breaker import Breaker, State

TRANSIENT = [failure for failure in Failure if failure.transient]
PERMANENT = [Failure.UNAUTHORIZED, Failure.UNKNOWN_MODEL, Failure.OUT_OF_QUOTA]
FAULTS = [Failure.CONTEXT_OVERFLOW, Failure.BAD_REQUEST]


def fail(breaker, failure, now, **more):
    ticket = breaker.enter(now)
    assert ticket is not None
    breaker.failed(ticket, failure, now, **more)


def opened(now=0.0):
    breaker = Breaker()
    for _ in range(3):
        fail(breaker, Failure.UNREACHABLE, now, reason="no route")
    return breaker


def test_it_opens_after_three_transient_failures_in_a_row():
    breaker = Breaker()
    for _ in range(2):
        fail(breaker, Failure.OVERLOADED, 0.0)
    assert breaker.allows(0.0)
    fail(breaker, Failure.OVERLOADED, 0.0)
    assert (breaker.allows(4.9), breaker.reopens_in_s(1.0), breaker.allows(5.0)) == (False, 4.0, True)


def test_a_success_begins_the_count_anew():
    breaker = Breaker()
    for _ in range(4):
        fail(breaker, Failure.OVERLOADED, 0.0)
        fail(breaker, Failure.OVERLOADED, 0.0)
        breaker.succeeded(breaker.enter(0.0))
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize("failure", PERMANENT)
def test_one_failure_that_waiting_does_not_mend_opens_it_for_a_minute(failure):
    breaker = Breaker()
    fail(breaker, failure, 0.0, reason="key refused")
    assert (breaker.permanent, breaker.reopens_in_s(0.0), breaker.reason) == (True, 60.0, "key refused")


@pytest.mark.parametrize("failure", FAULTS)
def test_the_faults_of_requests_do_not_open_it_once_the_model_has_answered(failure):
    breaker = Breaker()
    breaker.succeeded(breaker.enter(0.0))
    for _ in range(9):
        fail(breaker, failure, 0.0)
    assert breaker.state is State.CLOSED


def test_a_model_that_has_never_answered_and_refuses_three_requests_is_down_for_good():
    breaker = Breaker()
    for number in range(3):
        assert breaker.allows(0.0)
        fail(breaker, Failure.BAD_REQUEST, 0.0, reason=f"no such setting, call {number}")
    assert (breaker.permanent, breaker.reopens_in_s(0.0), breaker.reason) == (True, 60.0, "no such setting, call 2")
    fail(breaker, Failure.BAD_REQUEST, 60.0, reason="still none")
    assert (breaker.permanent, breaker.reopens_in_s(60.0), breaker.reason) == (True, 120.0, "still none")


@pytest.mark.parametrize("between", [Failure.CONTEXT_OVERFLOW, Failure.OVERLOADED])
def test_what_is_no_answer_does_not_excuse_the_requests_that_a_model_refuses(between):
    breaker = Breaker()
    for failure in (Failure.BAD_REQUEST, between, Failure.BAD_REQUEST, between, Failure.BAD_REQUEST):
        fail(breaker, failure, 0.0)
    assert (breaker.state, breaker.failure) == (State.OPEN, Failure.BAD_REQUEST)


def test_prompts_that_are_too_long_never_open_it():
    breaker = Breaker()
    for _ in range(9):
        fail(breaker, Failure.CONTEXT_OVERFLOW, 0.0)
    assert breaker.state is State.CLOSED


def test_a_model_that_answers_a_probe_after_all_is_up_and_has_answered():
    breaker = Breaker()
    for _ in range(3):
        fail(breaker, Failure.BAD_REQUEST, 0.0)
    breaker.succeeded(breaker.enter(60.0))
    for _ in range(9):
        fail(breaker, Failure.BAD_REQUEST, 60.0)
    assert (breaker.state, breaker.failure, breaker.reason) == (State.CLOSED, None, "")


@pytest.mark.parametrize("probing", [False, True])
def test_an_answer_under_way_while_others_were_refused_shows_that_they_were_at_fault(probing):
    breaker = Breaker()
    slow = breaker.enter(0.0)
    for _ in range(3):
        fail(breaker, Failure.BAD_REQUEST, 0.0)
    probe = breaker.enter(60.0) if probing else None
    breaker.succeeded(slow)
    assert (breaker.state, breaker.failure) == (State.CLOSED, None)
    if probe is not None:
        breaker.failed(probe, Failure.BAD_REQUEST, 61.0)
        assert breaker.state is State.CLOSED


def test_a_server_that_is_up_again_and_refuses_its_first_request_is_up():
    breaker = opened()
    fail(breaker, Failure.BAD_REQUEST, 5.0)
    assert (breaker.state, breaker.failure) == (State.CLOSED, None)


def test_one_probe_at_a_time_and_its_success_closes():
    breaker = opened()
    probe = breaker.enter(5.0)
    assert (breaker.enter(5.0), breaker.allows(99.0), breaker.reopens_in_s(5.0)) == (None, False, 0.0)
    breaker.succeeded(probe)
    assert (breaker.state, breaker.reason, breaker.failure) == (State.CLOSED, "", None)


def test_the_cooldown_doubles_up_to_five_minutes():
    breaker, now, seen = opened(), 0.0, []
    for _ in range(8):
        seen.append(breaker.reopens_in_s(now))
        now += seen[-1]
        fail(breaker, Failure.UNREACHABLE, now)
    assert seen == [5, 10, 20, 40, 80, 160, 300, 300]


def test_the_cooldown_starts_small_again_after_it_closed():
    breaker = opened()
    fail(breaker, Failure.UNREACHABLE, 5.0)
    breaker.succeeded(breaker.enter(15.0))
    for _ in range(3):
        fail(breaker, Failure.UNREACHABLE, 20.0)
    assert breaker.reopens_in_s(20.0) == 5.0


def test_calls_that_fail_together_open_it_once():
    breaker = Breaker()
    tickets = [breaker.enter(0.0) for _ in range(16)]
    for ticket in tickets:
        breaker.failed(ticket, Failure.TIMED_OUT, 1.0)
    assert breaker.reopens_in_s(1.0) == 5.0


def test_a_late_report_of_an_older_call_changes_nothing():
    breaker = Breaker()
    late = breaker.enter(0.0)
    for _ in range(3):
        fail(breaker, Failure.UNREACHABLE, 0.0)
    probe = breaker.enter(5.0)
    breaker.succeeded(late)
    breaker.failed(late, Failure.UNREACHABLE, 5.0)
    assert (breaker.state, breaker.holds(late), breaker.holds(probe)) == (State.PROBING, False, True)


def test_a_probe_that_was_never_made_lets_another_probe():
    breaker = opened()
    breaker.left(breaker.enter(5.0))
    assert breaker.enter(5.0) is not None


def test_it_stays_shut_for_as_long_as_the_server_asks():
    breaker = Breaker()
    for _ in range(3):
        fail(breaker, Failure.RATE_LIMITED, 0.0, retry_after_s=45.0)
    assert breaker.reopens_in_s(0.0) == 45.0


class Machine(RuleBasedStateMachine):
    """Any order of entering, ending and waiting."""

    @initialize()
    def start(self):
        self.breaker, self.now, self.tickets, self.probe = Breaker(), 0.0, [], None
        self.answered, self.refused = False, 0

    @rule(seconds=st.integers(0, 400))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def enter(self):
        before, allowed = self.breaker.state, self.breaker.allows(self.now)
        ticket = self.breaker.enter(self.now)
        assert (ticket is not None) == allowed
        if ticket is not None:
            self.tickets.append(ticket)
            if before is State.OPEN:
                assert self.probe is None
                self.probe = ticket

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), end=st.sampled_from(["ok", "left", *Failure]))
    def end(self, data, end):
        ticket = self.tickets.pop(data.draw(st.integers(0, len(self.tickets) - 1)))
        before = (self.breaker.state, self.breaker.reopens_in_s(self.now))
        held = self.breaker.holds(ticket)
        late_answer = end == "ok" and self.breaker.failure is Failure.BAD_REQUEST
        self.answered = self.answered or end == "ok"
        self.refused += held and not self.answered and end is Failure.BAD_REQUEST
        refuses_all = end is Failure.BAD_REQUEST and not self.answered and self.refused >= 3
        if end == "ok":
            self.breaker.succeeded(ticket)
        elif end == "left":
            self.breaker.left(ticket)
        else:
            self.breaker.failed(ticket, end, self.now)
        if late_answer:
            assert self.breaker.state is State.CLOSED
            self.probe = None
        elif not held:
            assert (self.breaker.state, self.breaker.reopens_in_s(self.now)) == before
        elif refuses_all:
            assert (self.breaker.state, self.breaker.permanent) == (State.OPEN, True)
            self.probe = None
        elif ticket == self.probe:
            closes = end == "ok" or end in FAULTS
            assert self.breaker.state is (State.CLOSED if closes else State.OPEN)
            self.probe = None

    @invariant()
    def closed_means_no_complaint(self):
        if self.breaker.state is State.CLOSED:
            assert (self.breaker.reason, self.breaker.failure) == ("", None)
        else:
            assert self.breaker.reason
        assert (self.breaker.state is State.PROBING) == (self.probe is not None)

    @invariant()
    def the_wait_is_bounded_and_enough(self):
        left = self.breaker.reopens_in_s(self.now)
        assert 0 <= left <= 300
        assert self.breaker.state is State.PROBING or self.breaker.allows(self.now + left + 1e-6)


TestMachine = Machine.TestCase
TestMachine.settings = settings(deadline=None)  # a shared machine may stall
