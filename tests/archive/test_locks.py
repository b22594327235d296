import dataclasses
import os
import subprocess
import sys

import pytest

from evolve.archive.locks import SILENCE_S, Holder, alive, process_start, this_process

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="reads /proc")


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_this_process_lives_however_long_it_is_silent():
    assert alive(this_process(), silent_s=1e9)


def test_a_killed_process_is_dead_though_it_was_heard_of_just_now():
    child = sleeper()
    holder = dataclasses.replace(this_process(), pid=child.pid, process=process_start(child.pid))
    assert alive(holder, silent_s=0)
    child.kill()
    child.communicate()
    assert not alive(holder, silent_s=0)


@needs_proc
def test_a_killed_process_that_nobody_waited_for_is_dead():
    child = sleeper()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_start(child.pid) is None
    child.communicate()


@needs_proc
def test_a_recycled_process_number_is_another_process():
    me = this_process()
    assert not alive(dataclasses.replace(me, process=me.process + "1"), silent_s=0)


@needs_proc
def test_a_process_from_before_a_reboot_is_dead():
    me = this_process()
    boot, ticks = me.process.split("/")
    assert not alive(dataclasses.replace(me, process=f"{boot[::-1]}/{ticks}"), silent_s=0)


@pytest.mark.parametrize(("silent_s", "lives"), [(0.0, True), (SILENCE_S, True), (SILENCE_S + 1, False)])
def test_a_process_elsewhere_lives_as_long_as_it_is_heard_of(silent_s, lives):
    assert alive(Holder("elsewhere", "another machine", os.getpid(), "1"), silent_s) is lives


def test_a_process_of_another_container_on_this_host_is_judged_by_its_heartbeat():
    other = dataclasses.replace(this_process(), place="another pid namespace", pid=2**22 + 1)
    assert alive(other, silent_s=1)
