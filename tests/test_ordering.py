import pytest

from evolve.ordering import Asap, Recorded, Strict


def test_strict_plans_a_step_when_exactly_the_steps_lag_before_are_added():
    order = Strict(lag=4)
    assert [step for step in range(1, 9) if order.may_plan(step, version=0)] == [1, 2, 3, 4]
    assert order.may_plan(5, version=1)
    assert not order.may_plan(6, version=1)
    assert not order.may_plan(6, version=1, held=2)


def test_strict_screens_see_the_version_of_the_plan():
    assert [Strict(lag=3).screen_version(step, 0, version=10) for step in (1, 3, 4, 10)] == [0, 0, 1, 7]


def test_strict_adds_in_step_order():
    order = Strict(lag=4)
    assert order.next_addition(0, {2, 3}) is None
    assert order.next_addition(0, {1, 2}) == 1


def test_asap_bounds_what_is_in_flight_and_adds_what_is_there():
    order = Asap(lambda: 3)
    assert order.may_plan(4, version=1)
    assert not order.may_plan(5, version=1)
    assert order.screen_version(9, 0, version=5) == 5
    assert order.next_addition(0, {7, 3}) == 3
    assert order.next_addition(0, set()) is None


def test_recorded_repeats_plans_and_additions_at_their_versions():
    order = Recorded({1: 0, 2: 0, 3: 1}, {}, [0, 2, 1, 3])
    assert order.may_plan(1, 0)
    assert not order.may_plan(3, 0)
    assert not order.may_plan(4, 9)
    assert order.next_addition(0, {1}) is None
    assert order.next_addition(0, {1, 2}) == 2
    assert order.next_addition(3, {5}) is None


def test_recorded_holds_an_addition_back_until_the_screens_that_must_not_see_it():
    order = Recorded({1: 0, 2: 0}, {(1, 0): 0, (2, 0): 0}, [0, 1, 2])
    order.screen_version(1, 0, 0)
    assert order.next_addition(0, {1}) is None
    order.screen_version(2, 0, 0)
    assert order.next_addition(0, {1}) == 1


def test_recorded_makes_a_screen_wait_for_its_version():
    order = Recorded({1: 0}, {(1, 0): 2}, [0, 1])
    assert order.screen_version(1, 0, version=1) == 2


@pytest.mark.parametrize("make", [lambda: Strict(0)])
def test_orders_without_room_are_refused(make):
    with pytest.raises(ValueError, match=">= 1"):
        make()
