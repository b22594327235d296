"""What tests of executors share."""

from pathlib import Path

#: Can make a process that nobody waits for, in a session of its own, and take its fork server down.
SABOTEUR = """
import os, time

def daemon():
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writing, str(os.getpid()).encode())
            time.sleep(600)
        os._exit(0)
    return int(os.read(reading, 20))

def sabotage():
    os.kill(os.getppid(), 9)
    time.sleep(600)

answer = sabotage
"""


def is_running(pid):
    # A zombie that nobody in a container reaps does not count.
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return False
