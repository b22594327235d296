from evolve.budget import Budget


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_steps_are_allowed_up_to_the_number_asked_for():
    budget = Budget(3, None)
    assert [budget.allows(step) for step in (1, 3, 4)] == [True, True, False]
    assert budget.left_s is None


def test_seconds_of_earlier_sessions_count():
    clock = Clock()
    budget = Budget(9, 10.0, spent_s=4.0, clock=clock)
    clock.now += 3.0
    assert (budget.seconds, budget.left_s, budget.allows(1)) == (7.0, 3.0, True)


def test_no_step_is_begun_when_time_is_up_and_what_is_left_is_never_negative():
    clock = Clock()
    budget = Budget(9, 1.0, clock=clock)
    clock.now += 2.0
    assert (budget.left_s, budget.allows(1)) == (0.0, False)
