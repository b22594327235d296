import pytest

from evolve.archive.records import PendingStep, Plan
from evolve.errors import PutOff
from evolve.outages import Outage, Outages, Weather

DOWN = Outage("openai/m: unreachable", 5.0, False)
HOPELESS = DOWN._replace(hopeless=True)


class Roster:
    """Arms that are down, or may be tried."""

    def __init__(self):
        self.down = {}
        self.all_down = None
        self.sure = True

    def outage(self):
        return self.all_down

    def healthy(self):
        return self.sure

    def outage_of(self, arm):
        return self.down.get(arm)


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def roster():
    return Roster()


@pytest.fixture
def outages(roster, now):
    return Outages(roster, patience_s=10.0, give_up_s=20.0, clock=lambda: now[0])


def pending(step, arm="model"):
    return PendingStep(Plan(step, 0, 0, "parent", (), arm))


def test_an_outage_that_is_tried_in_vain_again_and_again_ends_in_giving_up(outages, roster, now):
    seen = []
    roster.sure = False
    for second in range(14):
        now[0] = float(second)
        roster.all_down = None if second % 4 == 3 else DOWN  # the breaker lets a probe through, which fails
        seen.append(outages.look())
    assert seen[:4] == [Weather.WAIT] * 3 + [Weather.FAIR]
    assert seen[10] is Weather.HOPELESS


def test_a_model_that_answers_ends_the_outage(outages, roster, now):
    roster.all_down = DOWN
    assert outages.look() is Weather.WAIT
    roster.all_down = None
    assert outages.look() is Weather.FAIR
    assert not outages.paused
    now[0], roster.all_down = 11.0, DOWN
    assert outages.look() is Weather.WAIT


def test_nothing_is_given_up_while_a_call_is_under_way_that_will_tell(outages, roster, now):
    roster.all_down = roster.down["model"] = DOWN._replace(probing=True)
    outages.hold(pending(1), PutOff("down"))
    outages.look()
    now[0] = 100.0
    assert outages.look() is Weather.WAIT
    assert outages.given_up() == []


def test_no_step_is_given_up_while_the_whole_run_waits_nor_for_that_time_afterwards(outages, roster, now):
    roster.all_down = roster.down["model"] = DOWN
    outages.hold(pending(1), PutOff("down"))
    outages.look()
    now[0], roster.all_down, roster.sure = 30.0, None, False
    assert outages.look() is Weather.FAIR  # another model is on trial
    assert outages.given_up() == []
    roster.sure = True
    outages.look()
    now[0] = 40.0
    assert outages.given_up() == []
    now[0] = 46.0
    assert len(outages.given_up()) == 1


def test_a_step_that_was_answered_in_between_waits_anew(outages, roster, now):
    step = pending(1)
    roster.down["model"] = DOWN
    outages.hold(step, PutOff("down"))
    del roster.down["model"]
    assert outages.back() == [step]
    roster.down["model"] = DOWN
    step.replies[0] = object()
    now[0] = 30.0
    outages.hold(step, PutOff("down"))
    assert outages.given_up() == []


def test_what_waiting_does_not_mend_is_not_waited_for(outages, roster):
    roster.all_down = HOPELESS
    assert outages.look() is Weather.HOPELESS


def test_a_step_is_held_until_its_arm_is_back(outages, roster):
    roster.down = {"model": DOWN, "other": DOWN}
    first, second = pending(1), pending(2, "other")
    outages.hold(first, PutOff("down"))
    outages.hold(second, PutOff("down"))
    assert outages.back() == []
    assert outages.n_held == 2
    del roster.down["model"]
    assert outages.back() == [first]
    assert outages.n_held == 1


def test_a_step_whose_arm_stays_away_too_long_is_given_up(outages, roster, now):
    roster.down["model"] = DOWN
    error = PutOff("down")
    outages.hold(pending(1), error)
    now[0] = 14.0
    assert outages.given_up() == []
    now[0] = 16.0  # the next try, 5 s from now, would come too late
    assert outages.given_up() == [(pending(1), error)]
    assert outages.n_held == 0


def test_a_step_that_is_tried_in_vain_has_been_waiting_all_the_time(outages, roster, now):
    outages.hold(pending(1), PutOff("down"))
    assert len(outages.back()) == 1
    now[0] = 18.0
    roster.down["model"] = DOWN
    outages.hold(pending(1), PutOff("down"))
    assert len(outages.given_up()) == 1


def test_a_step_whose_arm_is_down_for_good_is_given_up_at_once(outages, roster):
    roster.down["model"] = HOPELESS
    outages.hold(pending(1), PutOff("wrong key"))
    assert len(outages.given_up()) == 1
