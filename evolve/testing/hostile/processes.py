"""Programs that reach for other processes, or that do not want to go."""

from __future__ import annotations

from evolve.program import Isolation, Outcome
from evolve.testing.hostile.record import KERNEL_LEVELS, STRONG_ONLY, Hostile, Sign

#: The version of Landlock that keeps signals inside.
_SIGNALS = 6
_FIND_SECRET = (
    "def memory():\n"
    "    for line in open('/proc/@PID@/maps'):\n"
    "        if '[stack]' in line:\n"
    "            return [int(address, 16) for address in line.split()[0].split('-')]\n"
    "def secret(content):\n"
    "    place = content.find(b'SECRET=')\n"
    "    return place >= 0 and content[place : place + 39].decode()\n"
)


def _signals(name: str, tries: str, source: str, sign: Sign = Sign.HARM) -> Hostile:
    return Hostile(name, tries, source, claims=KERNEL_LEVELS, sign=sign, landlock=_SIGNALS)


PROCESSES = (
    _signals("kills another", "It kills a process of ours.", "def attack():\n    os.kill(@PID@, 9)\n"),
    _signals("stops another", "It stops a process of ours.", "def attack():\n    os.kill(@PID@, 19)\n"),
    _signals(
        "kills through a descriptor",
        "It kills a process of ours through a descriptor of it.",
        "import signal\ndef attack():\n    signal.pidfd_send_signal(os.pidfd_open(@PID@), 9)\n",
    ),
    Hostile(
        "kills its parent",
        "It kills the process that it was forked from.",
        "def attack():\n    if os.getppid() > 1:\n        os.kill(os.getppid(), 9)\n",
        claims=KERNEL_LEVELS,
        landlock=_SIGNALS,
    ),
    Hostile(
        "kills the worker",
        "It kills the process above its fork server, which runs the evaluator.",
        "def attack():\n"
        "    above = int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1])\n"
        "    if above > 1:\n        os.kill(above, 9)\n",
        claims=KERNEL_LEVELS,
        landlock=_SIGNALS,
        slow=True,
    ),
    Hostile(
        "kills all",
        "It kills every process that it may (kill with process id -1).",
        "import signal\ndef attack():\n    os.kill(-1, signal.SIGKILL)\n",
        claims=STRONG_ONLY,
        sign=Sign.HARM,
        least=Isolation.STRONG,
        # A namespace's first process is ended as well, and takes the program along.
        ends=frozenset({Outcome.OK, Outcome.CRASHED}),
    ),
    Hostile(
        "first of its namespace",
        "It kills the first process it sees, with which a namespace of processes ends.",
        "def attack():\n    os.kill(1, 9)\n",
        claims=STRONG_ONLY,
        least=Isolation.STRONG,
        ends=frozenset({Outcome.OK, Outcome.CRASHED}),
    ),
    Hostile(
        "traces another",
        "It attaches to a process of ours as a debugger does, and leaves it stopped.",
        "def attack():\n    return system_call('ptrace', 16, @PID@, 0, 0) == 0 and 'attached'\n",
        claims=KERNEL_LEVELS,
        sign=Sign.HARM,
    ),
    Hostile(
        "memory in /proc",
        "It reads the memory of a process of ours through /proc.",
        _FIND_SECRET + "def attack():\n"
        "    low, high = memory()\n    file = os.open('/proc/@PID@/mem', os.O_RDONLY)\n"
        "    return secret(os.pread(file, high - low, low))\n",
        claims=KERNEL_LEVELS,
        sign=Sign.LEAK,
    ),
    Hostile(
        "memory by system call",
        "It reads the memory of a process of ours by process_vm_readv.",
        _FIND_SECRET + "import struct\n"
        "def attack():\n"
        "    low, high = memory()\n    buffer = ctypes.create_string_buffer(high - low)\n"
        "    here = struct.pack('PN', ctypes.addressof(buffer), high - low)\n    there = struct.pack('PN', low, high - low)\n"
        "    system_call('process_vm_readv', @PID@, here, ctypes.c_ulong(1), there, ctypes.c_ulong(1), ctypes.c_ulong(0))\n"
        "    return secret(buffer.raw)\n",
        claims=KERNEL_LEVELS,
        sign=Sign.LEAK,
    ),
    Hostile(
        "memory of its parent",
        "It reads the memory of the process that it was forked from.",
        "def attack():\n"
        "    parent = os.getppid() or 1\n"
        "    for line in open(f'/proc/{parent}/maps'):\n"
        "        low = int(line.split('-')[0], 16)\n"
        "        return os.pread(os.open(f'/proc/{parent}/mem', os.O_RDONLY), 16, low) and 'read'\n",
        claims=KERNEL_LEVELS,
        sign=Sign.REPORT,
    ),
    Hostile(
        "others' descriptors",
        "It takes a descriptor out of another process (pidfd_getfd).",
        "def attack():\n    return system_call('pidfd_getfd', system_call('pidfd_open', @PID@, 0), 0, 0) >= 0 and 'a descriptor'\n",
        claims=KERNEL_LEVELS,
        sign=Sign.REPORT,
    ),
    Hostile(
        "priorities",
        "It lowers the priority of a process of ours as far as it goes.",
        "def attack():\n    os.setpriority(os.PRIO_PROCESS, @PID@, 19)\n    return 'lowered'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    Hostile(
        "other's limits",
        "It sets a resource limit of a process of ours (prlimit).",
        "import resource\ndef attack():\n    resource.prlimit(@PID@, resource.RLIMIT_CORE, (0, 0))\n    return 'set'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    Hostile(
        "list of processes",
        "It lists the processes of the machine and what they were started with.",
        "def attack():\n    return open('/proc/@PID@/cmdline').read()\n",
        claims=KERNEL_LEVELS,
        sign=Sign.REPORT,
    ),
    Hostile(
        "daemon",
        "It forks twice, in a session of its own, and stays when its parents are gone.",
        "import time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        for descriptor in range(64):\n            try:\n                os.close(descriptor)\n"
        "            except OSError:\n                pass\n"
        "        time.sleep(3600)\n    os._exit(0)\nos.wait()\n",
        sign=Sign.REMAINS,
    ),
    Hostile(
        "runner in circles",
        "It forks itself again and again and lets each parent go, so as to be gone when somebody kills it.",
        # Each of them ends itself, also where no more processes are to be had: it must not answer in the program's place.
        "import time\n"
        "if os.fork() == 0:\n    try:\n        for _ in range(2000):\n            if os.fork():\n                os._exit(0)\n"
        "            time.sleep(0.001)\n    finally:\n        os._exit(0)\n",
        sign=Sign.REMAINS,
    ),
    Hostile(
        "threads after the answer",
        "Its threads go on after it has answered.",
        "import threading, time\n"
        "def go_on():\n    while True:\n        time.sleep(0.001)\n"
        "for _ in range(4):\n    threading.Thread(target=go_on).start()\n",
        sign=Sign.REMAINS,
    ),
    Hostile(
        "last words",
        "It does its work when its interpreter ends: atexit, and objects that are deleted.",
        "import atexit, time\n"
        "class Late:\n    def __del__(self):\n        time.sleep(3600)\n"
        "late = Late()\natexit.register(time.sleep, 3600)\n",
        sign=Sign.REMAINS,
    ),
    Hostile("exit", "It ends with status 0 before it answers.", "os._exit(0)\n", ends=frozenset({Outcome.CRASHED})),
    Hostile("abort", "It ends by a signal of its own.", "os.abort()\n", ends=frozenset({Outcome.CRASHED})),
    Hostile(
        "becomes another program",
        "It executes another program in its place, with its descriptors.",
        "for descriptor in range(16):\n    try:\n        os.set_inheritable(descriptor, True)\n    except OSError:\n        pass\n"
        "os.execv('/bin/sh', ['sh', '-c', 'echo 1e9 >&3; echo 1e9 >&1; exit 0'])\n",
        ends=frozenset({Outcome.CRASHED, Outcome.INVALID}),
    ),
)
