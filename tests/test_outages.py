from evolve.outages import Outage, Patience, Weather


class Roster:
    """Arms that are down, or may be tried."""

    def __init__(self):
        self.down = None

    def outage(self):
        return self.down


DOWN = Outage("openai/m: unreachable", 5.0, False)


def test_an_outage_that_is_tried_in_vain_again_and_again_ends_in_giving_up():
    now, roster = [0.0], Roster()
    patience = Patience(roster, 10.0, lambda: now[0])
    seen = []
    for second in range(14):
        now[0] = float(second)
        roster.down = None if second % 4 == 3 else DOWN  # the breaker lets a probe through, which fails
        seen.append(patience.look())
    assert seen[:4] == [Weather.WAIT] * 3 + [Weather.FAIR]
    assert seen[10] is Weather.HOPELESS


def test_a_step_that_ends_ends_the_outage():
    now, roster = [0.0], Roster()
    patience = Patience(roster, 10.0, lambda: now[0])
    roster.down = DOWN
    assert patience.look() is Weather.WAIT
    patience.recovered()
    now[0] = 11.0
    assert patience.look() is Weather.WAIT


def test_what_waiting_does_not_mend_is_not_waited_for():
    roster = Roster()
    roster.down = DOWN._replace(hopeless=True)
    assert Patience(roster, 10.0, lambda: 0.0).look() is Weather.HOPELESS
