"""Keeps torch to one thread, where a test uses it."""

import sys

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in the order that the sandbox has; and two threads wait for each other by spinning on a busy machine."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
