import pytest

from evolve.executors.base import Executor
from evolve.executors.local import LocalExecutor
from evolve.program import Isolation, Task
from evolve.testing.executor import ExecutorContract


class TestLocalExecutor(ExecutorContract):
    def make(self, task: Task, slots: int) -> Executor:
        return LocalExecutor(task, workers=slots, evaluator_grace_s=60.0)


@pytest.mark.slow
class TestLocalExecutorWithoutLandlock(ExecutorContract):
    def make(self, task: Task, slots: int) -> Executor:
        return LocalExecutor(task, workers=slots, isolation=Isolation.PROCESS, evaluator_grace_s=60.0)
