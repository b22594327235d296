import dataclasses

import pytest

from evolve.executors.deadlines import deadline_s, own_s, program_s
from evolve.program import Build, Limits, Objective, Task

TASK = Task("t", {"a.py": "x = 1\n"}, limits=Limits(timeout_s=1.0, wall_timeout_s=5.0))


def test_a_program_that_is_called_may_take_the_wall_clock_limit():
    assert program_s(TASK) == 5.0
    assert program_s(dataclasses.replace(TASK, limits=Limits(timeout_s=2.0))) == 6.0


def test_one_that_is_executed_may_have_a_sibling_and_both_are_built():
    executed = dataclasses.replace(TASK, command=("./a.out",))
    assert program_s(executed) == 10.0
    build = Build(command=("cc", "a.c"), timeout_s=20.0)
    assert program_s(dataclasses.replace(executed, build=build)) == 2 * (5.0 + build.limits(TASK.limits).wall_s)


def test_an_evaluation_may_take_that_for_each_repeat_and_a_grace_besides():
    repeated = dataclasses.replace(TASK, objective=Objective(repeats=4))
    assert deadline_s(TASK, 30.0) == 35.0
    assert deadline_s(repeated, 0.5) == 20.5


def test_an_evaluator_may_take_for_itself_what_the_task_says_unless_an_executor_knows_better():
    trains = dataclasses.replace(TASK, limits=dataclasses.replace(TASK.limits, evaluator_timeout_s=600.0))
    assert (own_s(TASK), own_s(trains), own_s(trains, 2.0)) == (30.0, 600.0, 2.0)
    assert (deadline_s(trains), deadline_s(trains, 2.0)) == (605.0, 7.0)
    with pytest.raises(ValueError, match="evaluator_grace_s must be > 0, got 0"):
        own_s(TASK, 0.0)
