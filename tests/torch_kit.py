"""Torch in this process as it is in the sandbox, and programs of it at every level that this machine has."""

import pytest

from evolve.evaluators.sandbox import available_levels
from evolve.program import Limits

torch = pytest.importorskip("torch", reason="torch is not installed; the extra 'moe' brings it")

LIMITS = Limits(timeout_s=30.0, wall_timeout_s=120.0, memory_mb=1024, preload=("numpy", "torch"))
LEVELS = [report.level for report in available_levels() if report.available]


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in the order that the sandbox has; and two threads wait for each other by spinning on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
