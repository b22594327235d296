import os
import subprocess
import sys
import time

import pytest

from evolve.evaluators.sandbox import tree

TREE = """
import os, sys, time
if os.fork() == 0:
    block = b"x" * 50 * 2**20
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    print("ready", flush=True)
    time.sleep(600)
os.wait()
"""


@pytest.fixture
def parent():
    with subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE, start_new_session=True) as process:
        process.stdout.readline()
        yield process
        os.killpg(process.pid, 9)


def test_descendants_are_measured_and_the_root_is_not(parent):
    usage = tree.usage_below(parent.pid)
    assert len(usage.pids) == 1
    assert usage.threads == 1
    assert 0.1 <= usage.cpu_s < 1.0
    assert usage.rss_bytes > 50 * 2**20


def test_shared_pages_are_divided(parent):
    (child,) = tree.usage_below(parent.pid).pids
    both = tree.proportional_bytes((parent.pid, child))
    assert 50 * 2**20 < both < tree.usage_below(parent.pid).rss_bytes + 20 * 2**20


def test_children_can_be_found_without_the_kernels_list(parent):
    assert tree._children_by_parent(parent.pid) == tree.children_of(parent.pid)


def test_a_process_that_is_gone_counts_as_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert tree.usage_below(process.pid) == tree.Usage((), 0.0, 0, 0)
    assert tree.own_cpu_s(process.pid, otherwise=1.5) == 1.5
    assert tree.session_of(process.pid) == 0


def test_own_cpu_time_agrees_with_the_process():
    assert tree.own_cpu_s(os.getpid()) == pytest.approx(time.process_time(), abs=0.05)
