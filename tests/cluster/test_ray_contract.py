import pytest

from evolve.executors.base import Executor
from evolve.executors.cluster import RayExecutor, parse
from evolve.program import Task
from evolve.testing.executor import ExecutorContract

pytestmark = pytest.mark.cluster


class TestRayExecutor(ExecutorContract):
    @pytest.fixture(autouse=True)
    def _on(self, address):
        self.address = parse(address)

    def make(self, task: Task, slots: int) -> Executor:
        return RayExecutor(task, self.address, slots, evaluator_grace_s=60.0)


class TestRayExecutorThroughTheClientServer(ExecutorContract):
    @pytest.fixture(autouse=True)
    def _on(self, client_address):
        self.address = parse(client_address)

    def make(self, task: Task, slots: int) -> Executor:
        return RayExecutor(task, self.address, slots, evaluator_grace_s=60.0)
