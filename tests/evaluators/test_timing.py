import itertools

import pytest

from evolve.evaluators.timing import interleaved


def recorded(order, name, seconds):
    values = itertools.cycle(seconds)

    def run():
        order.append(name)
        return next(values)

    return run


def test_runs_alternate_a_b_b_a_after_the_warm_up():
    order = []
    interleaved(recorded(order, "A", [1.0]), recorded(order, "B", [1.0]), rounds=2, warm_up=1)
    assert "".join(order) == "AB" + "ABBA" * 2


def test_the_speed_up_is_the_references_time_over_the_programs():
    found = interleaved(lambda: 2.0, lambda: 5.0, rounds=3)
    assert (found.speedup, found.low, found.high) == (2.5, 2.5, 2.5)
    assert (found.program_s, found.reference_s) == ((2.0,) * 6, (5.0,) * 6)


def test_a_constant_drift_cancels():
    clock = itertools.count(100)
    found = interleaved(lambda: next(clock), lambda: next(clock), rounds=4, warm_up=0)
    assert found.speedup == 1.0


def test_warm_up_is_not_counted():
    slow_once = itertools.chain([1000.0], itertools.repeat(1.0))
    assert interleaved(lambda: next(slow_once), lambda: 1.0, warm_up=1).speedup == 1.0


@pytest.mark.parametrize(
    ("rounds", "confidence", "left_out", "reached"),
    # 1 - 2 * sum of C(n, i) for i up to left_out, / 2**n.
    [(6, 0.95, 0, 1 - 2 / 64), (5, 0.95, 0, 1 - 2 / 32), (9, 0.95, 1, 1 - 20 / 512), (1, 0.95, 0, 0.0), (9, 0.5, 2, 1 - 92 / 512)],
)
def test_the_interval_is_that_of_order_statistics(rounds, confidence, left_out, reached):
    times = [value for i in range(1, rounds + 1) for value in (i, i)]
    seconds = iter(times)
    found = interleaved(lambda: 1.0, lambda: next(seconds), rounds=rounds, warm_up=0, confidence=confidence)
    assert (found.low, found.high) == (1 + left_out, rounds - left_out)
    assert found.confidence == pytest.approx(reached)


def test_a_run_too_short_to_measure_is_not_divided_by():
    assert interleaved(lambda: 0.0, lambda: 1.0, rounds=1).speedup == pytest.approx(1e6)


@pytest.mark.parametrize("change", [{"rounds": 0}, {"warm_up": -1}, {"confidence": 1.0}])
def test_impossible_settings_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        interleaved(lambda: 1.0, lambda: 1.0, **change)


def test_the_text_names_speed_up_and_interval():
    assert "2.500 times the reference's speed (97% interval 2.500 to 2.500" in interleaved(lambda: 2.0, lambda: 5.0).text
