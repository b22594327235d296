"""Sweeping kills what a lost fork server left to the worker, and nothing else."""

import subprocess
import sys

# In a process of its own: the test's process may have fork servers of other tests.
SWEEP = """
import subprocess
from evolve.evaluators.sandbox.server import sweep_strangers

def sleeper(**options):
    return subprocess.Popen(["sleep", "600"], **options)

stranger, server, own = sleeper(start_new_session=True), sleeper(start_new_session=True), sleeper()
sweep_strangers((server.pid, 0))
print(stranger.poll() is None, server.poll() is None, own.poll() is None)
server.kill()
own.kill()
"""


def test_a_server_that_is_at_work_and_the_evaluators_own_processes_are_spared():
    answer = subprocess.run([sys.executable, "-c", SWEEP], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.split() == ["False", "True", "True"]
