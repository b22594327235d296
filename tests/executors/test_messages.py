from evolve.evaluators.sandbox import wire
from evolve.executors.base import Evaluated
from evolve.executors.messages import from_plain, to_plain
from evolve.program import Direction, Evaluation, Isolation, Metric, Outcome


def test_a_full_evaluation_comes_back_the_same():
    evaluated = Evaluated(
        Evaluation(
            Outcome.OK,
            1.5,
            {"a": Metric(2.0, Direction.MINIMIZE), "b": Metric(3.0)},
            "good",
            cpu_s=0.1,
            wall_s=0.2,
            isolation=Isolation.LANDLOCK,
            evaluator_sha256="ab",
        ),
        b"png",
        {"curve.csv": b"1,2"},
    )
    assert from_plain(wire.decode(wire.encode(to_plain(evaluated)))) == evaluated


def test_a_failed_evaluation_comes_back_the_same():
    evaluated = Evaluated(Evaluation(Outcome.TIMED_OUT, feedback="slow", timing_dependent=True))
    assert from_plain(wire.decode(wire.encode(to_plain(evaluated)))) == evaluated
