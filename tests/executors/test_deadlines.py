import dataclasses

from evolve.executors.deadlines import deadline_s, program_s
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
