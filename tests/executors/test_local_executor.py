import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
from executor_kit import SABOTEUR, is_running

from evolve.errors import IsolationError, TaskError
from evolve.evaluators.base import ProgramFailed, Score
from evolve.evaluators.sandbox import tree
from evolve.executors.local import LocalExecutor
from evolve.program import Isolation, Limits, Outcome, Task

LIMITS = Limits(timeout_s=5.0, wall_timeout_s=60.0)
DOUBLE = {"initial.py": "def f(x):\n    return 2 * x"}
SLEEP = {"initial.py": "import os, time\ndef f(x):\n    os.fork()\n    time.sleep(600)"}


def task(evaluate, limits=LIMITS):
    return Task("t", DOUBLE, limits=limits, evaluate=evaluate, evaluator_sha256="ab")


def doubled(program):
    return Score(program.call("f", 21))


def run(with_executor, evaluate=doubled, limits=LIMITS, **settings):
    async def entered():
        async with LocalExecutor(task(evaluate, limits), **settings) as executor:
            return await with_executor(executor)

    return asyncio.run(entered())


def descendants():
    return set(tree.usage_below(os.getpid()).pids)


def test_an_evaluator_defined_on_the_spot_scores():
    offset = 3

    async def one(executor):
        return await executor.evaluate(DOUBLE, seed=0)

    assert run(one, lambda program: Score(program.call("f", 1) + offset)).evaluation.objective == 5.0


def test_what_an_evaluator_prints_disturbs_nothing(capfd):
    def evaluate(program):
        sys.stdout.write("chatter")
        os.system("echo more chatter")
        return doubled(program)

    async def twice(executor):
        return [(await executor.evaluate(DOUBLE, seed=0)).evaluation.objective for _ in range(2)]

    assert run(twice, evaluate) == [42.0, 42.0]
    assert capfd.readouterr() == ("", "")


def test_an_evaluator_that_hangs_is_cut_off_and_replaced():
    def evaluate(program):
        if "hang" in program.files["initial.py"]:
            sys.stdout.write("about to hang")
            time.sleep(600)
        return doubled(program)

    async def hang_then_score(executor):
        hung = await executor.evaluate({"initial.py": "# hang"}, seed=0)
        return hung.evaluation, (await executor.evaluate(DOUBLE, seed=0)).evaluation

    hung, after = run(hang_then_score, evaluate, Limits(timeout_s=0.1, wall_timeout_s=0.2), evaluator_grace_s=1.0)
    assert hung.outcome is Outcome.EVALUATOR_FAILED
    assert "did not finish within 1.2 s" in hung.feedback
    assert after.outcome in (Outcome.OK, Outcome.TIMED_OUT)  # 0.2 s can be too little on a busy machine


def test_a_worker_that_dies_once_costs_a_retry_only(tmp_path):
    marker = tmp_path / "died"

    def evaluate(program):
        if not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return doubled(program)

    async def one(executor):
        return await executor.evaluate(DOUBLE, seed=0)

    assert run(one, evaluate).evaluation.objective == 42.0


def test_a_program_during_which_the_worker_dies_twice_is_crashed():
    def evaluate(program):
        if "fatal" in program.files["initial.py"]:
            sys.stdout.write("last words")
            sys.stdout.flush()
            os._exit(7)
        return doubled(program)

    async def fatal_then_score(executor):
        fatal = await executor.evaluate({"initial.py": "# fatal"}, seed=0)
        return fatal.evaluation, (await executor.evaluate(DOUBLE, seed=0)).evaluation

    fatal, after = run(fatal_then_score, evaluate)
    assert fatal.outcome is Outcome.CRASHED
    assert "died twice: the worker exited with status 7" in fatal.feedback
    assert "last words" in fatal.feedback
    assert after.objective == 42.0


def still_running(pids):
    """Those of some processes that are there to stay: a fork server that has closed its files is about to be gone."""
    give_up_at = time.monotonic() + 5
    while any(map(is_running, pids)) and time.monotonic() < give_up_at:
        time.sleep(0.001)
    return [pid for pid in pids if is_running(pid)]


def test_a_cancelled_call_leaves_no_processes():
    strangers = descendants()  # of tests before

    async def cancel(executor):
        idle = descendants()
        call = asyncio.create_task(executor.evaluate(SLEEP, seed=0))
        while len(descendants() - idle) < 2:  # the program and its fork
            await asyncio.sleep(0.01)
        pids = descendants() - strangers
        call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await call
        return still_running(pids)

    for _ in range(3):
        assert run(cancel) == []


def test_leaving_in_the_middle_of_calls_ends_them():
    idle = descendants()

    async def leave(executor):
        call = asyncio.create_task(executor.evaluate(SLEEP, seed=0))
        while len(descendants() - idle) < 4:  # worker, fork server, the program and its fork
            await asyncio.sleep(0.01)
        pids = descendants() - idle
        call.cancel()
        return pids

    assert still_running(run(leave, workers=2)) == []


def test_workers_start_when_they_are_needed():
    async def count(executor):
        await executor.evaluate(DOUBLE, seed=0)
        one = len(tree.children_of(os.getpid()))
        await asyncio.gather(*(executor.evaluate(DOUBLE, seed=0) for _ in range(6)))
        return one, len(tree.children_of(os.getpid()))

    others = len(tree.children_of(os.getpid()))
    one, all_of_them = run(count, workers=2)
    assert (one - others, all_of_them - others) == (1, 2)


def test_the_entry_is_the_tasks_first_file_whatever_its_name():
    files = {"main.py": "import aside\ndef f(x):\n    return aside.y", "aside.py": "y = 4"}
    several = Task("t", files, limits=LIMITS, evaluate=doubled)

    async def one():
        async with LocalExecutor(several) as executor:
            return await executor.evaluate(dict(sorted(files.items())), seed=0)

    assert asyncio.run(one()).evaluation.objective == 4.0


def test_a_level_that_is_not_available_is_refused_on_entering(no_bubblewrap):
    async def one(executor):
        return executor

    with pytest.raises(IsolationError, match="apt-get install bubblewrap"):
        run(one, isolation=Isolation.STRONG)


def test_an_evaluator_that_cannot_be_sent_is_the_tasks_fault():
    lock = __import__("threading").Lock()

    async def one(executor):
        return executor

    with pytest.raises(TaskError, match="cannot be sent to a worker"):
        run(one, lambda program: lock)


@pytest.mark.parametrize("settings", [{"workers": 0}, {"evaluator_grace_s": 0.0}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match="must be"):
        LocalExecutor(task(doubled), **settings)


CONTROLLER = """
import asyncio
from evolve.evaluators.base import Score
from evolve.executors.local import LocalExecutor
from evolve.program import Limits, Task

SOURCE = '''
import os, time
def f():
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
    time.sleep(600)
'''

async def main():
    files = {"initial.py": SOURCE}
    task = Task("t", files, limits=Limits(timeout_s=600), evaluate=lambda program: Score(program.call("f")))
    async with LocalExecutor(task, workers=2) as executor:
        await asyncio.gather(*(executor.evaluate(files, seed=0) for _ in range(2)))

asyncio.run(main())
"""


def test_nothing_is_left_of_a_controller_that_was_killed():
    # Two workers, two servers, two programs with a daemon and a zombie each.
    with subprocess.Popen([sys.executable, "-c", CONTROLLER]) as controller:
        wait_until(lambda: len(tree.usage_below(controller.pid).pids) >= 8)
        pids = tree.usage_below(controller.pid).pids
        controller.kill()
    wait_until(lambda: not any(is_running(pid) for pid in pids))


def wait_until(condition):
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at, "waited for 30 s"
        time.sleep(0.01)


def test_ctrl_c_reaches_the_controller_only():
    def evaluate(program):
        os.killpg(os.getpgid(0), signal.SIGINT)
        return doubled(program)

    async def one(executor):
        return await executor.evaluate(DOUBLE, seed=0)

    assert run(one, evaluate).evaluation.objective == 42.0


def test_a_figure_is_drawn_without_a_display():
    def draw(path):
        import matplotlib.pyplot as plt

        plt.figure().savefig(path)

    async def one(executor):
        return await executor.evaluate(DOUBLE, seed=0, artifacts=True)

    assert run(one, lambda program: Score(1.0, figure=draw)).figure_png.startswith(b"\x89PNG")


def test_a_program_that_takes_its_server_down_leaves_nothing_either():
    def evaluate(program):
        if "sabotage" not in program.files["initial.py"]:
            return doubled(program)
        daemon = program.call("daemon")
        try:
            program.call("sabotage")
        except ProgramFailed as failed:
            raise ProgramFailed(failed.outcome, f"{daemon} {failed.feedback}") from None

    async def sabotage_then_score(executor):
        failed = await executor.evaluate({"initial.py": SABOTEUR}, seed=0)
        return failed.evaluation, (await executor.evaluate(DOUBLE, seed=0)).evaluation

    failed, after = run(sabotage_then_score, evaluate, isolation=Isolation.PROCESS)
    assert failed.outcome is Outcome.CRASHED
    daemon, _, words = failed.feedback.partition(" ")
    assert "took its sandbox down" in words
    assert not is_running(int(daemon))
    assert after.objective == 42.0
