"""Programs that take more than they may: time, processes, memory, files, output."""

from __future__ import annotations

from evolve.program import Outcome
from evolve.testing.hostile.record import KERNEL_LEVELS, PATIENT_S, STRONG_ONLY, Hostile, Sign

_LATE = frozenset({Outcome.TIMED_OUT})
_MEMORY = frozenset({Outcome.OUT_OF_MEMORY})
#: A program that is refused memory may be ended by the measurement, by the kernel, or by its own exception.
_MEMORY_OR_CRASH = frozenset({Outcome.OUT_OF_MEMORY, Outcome.CRASHED})
_PROCESSES = frozenset({Outcome.CRASHED, Outcome.OK, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY})

RESOURCES = (
    Hostile("infinite loop", "It never answers and uses a processor.", "while True:\n    pass\n", ends=_LATE, slow=True),
    Hostile(
        "busy threads",
        "Four threads of it use processors while nobody waits for them.",
        "import hashlib, threading\n"
        "def burn():\n    while True:\n        hashlib.sha256(bytes(2**20))\n"
        "threads = [threading.Thread(target=burn) for _ in range(4)]\n"
        "for thread in threads:\n    thread.start()\nthreads[0].join()\n",
        ends=_LATE,
        slow=True,
    ),
    Hostile(
        "sleeping",
        "It waits for longer than its wall-clock deadline and uses no CPU time.",
        "import time\ntime.sleep(3600)\n",
        ends=_LATE,
        slow=True,
    ),
    Hostile(
        "deaf to signals",
        "It ignores SIGTERM, SIGXCPU and every other signal that can be ignored, and loops.",
        "import signal\nfor number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(number, signal.SIG_IGN)\nwhile True:\n    pass\n",
        ends=_LATE,
        slow=True,
    ),
    Hostile(
        "stops itself",
        "It sends itself SIGSTOP, so that it neither answers nor uses CPU time.",
        "import signal\nos.kill(os.getpid(), signal.SIGSTOP)\n",
        # Level strong's first process of a namespace does not change that.
        ends=_LATE,
        slow=True,
    ),
    Hostile(
        "raised limits",
        "It raises every resource limit that it can, and then takes 600 MB.",
        "import resource\n"
        "for which in range(16):\n    try:\n        resource.setrlimit(which, (resource.RLIM_INFINITY,) * 2)\n"
        "    except (OSError, ValueError):\n        pass\n"
        "import time\ntaken = [b'x' * 2**22 for _ in range(150)]\ntime.sleep(3600)\n",
        ends=_MEMORY_OR_CRASH,
        timeout_s=PATIENT_S,
    ),
    Hostile(
        "fork bomb",
        "Every process that it starts starts two more.",
        "import time\nfor _ in range(8):\n    try:\n        os.fork()\n    except OSError:\n        pass\ntime.sleep(3600)\n",
        ends=_PROCESSES,
    ),
    Hostile(
        "thread bomb",
        "It starts threads until it is refused, up to five hundred.",
        "import threading, time\n"
        "for _ in range(500):\n    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n",
        ends=_PROCESSES,
    ),
    Hostile(
        "memory of one process",
        "It takes 64 MB more until it is refused.",
        "taken = []\nwhile True:\n    taken.append(b'x' * 2**26)\n",
        ends=_MEMORY,
        timeout_s=PATIENT_S,
    ),
    Hostile(
        "memory of many processes",
        "Six processes take 100 MB each, none of them too much by itself.",
        "import time\nfor _ in range(6):\n    if os.fork() == 0:\n        taken = b'x' * (100 * 2**20)\n        time.sleep(3600)\n"
        "time.sleep(3600)\n",
        ends=_MEMORY,
        timeout_s=PATIENT_S,
    ),
    Hostile(
        "mapped memory",
        "It maps anonymous memory and writes to every page.",
        "import mmap\nmaps = []\nwhile True:\n    maps.append(mmap.mmap(-1, 2**26))\n    maps[-1][::4096] = b'x' * 2**14\n",
        ends=_MEMORY_OR_CRASH,
        timeout_s=PATIENT_S,
    ),
    Hostile(
        "memory file",
        "It keeps 400 MB in files that only the kernel's memory holds (memfd_create).",
        "def attack():\n"
        "    for _ in range(4):\n        file = os.memfd_create('x')\n"
        "        for _ in range(100):\n            os.write(file, b'x' * 2**20)\n"
        "    return '400 MB in memory files'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    Hostile(
        "disk filler",
        "It writes 64 MB of files, four times what it may keep.",
        "def attack():\n"
        "    for number in range(64):\n        with open(f'file{number}', 'wb') as file:\n            file.write(b'x' * 2**20)\n"
        "    return '64 MB written'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    Hostile(
        "shared memory filler",
        "It writes 64 MB to /dev/shm, which is memory in no process's mapping.",
        "def attack():\n"
        "    with open('/dev/shm/@TOKEN@', 'wb') as file:\n"
        "        for _ in range(64):\n            file.write(b'x' * 2**20)\n"
        "    return '64 MB written'\n",
        claims=KERNEL_LEVELS,
        sign=Sign.CHANGE,
    ),
    Hostile(
        "inode filler",
        "It makes ten thousand empty files.",
        "def attack():\n    for number in range(10_000):\n        os.mknod(f'file{number}')\n    return 'ten thousand files'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    Hostile(
        "endless output",
        "It prints a gigabyte.",
        "for _ in range(1024):\n    os.write(1, b'x' * 2**20)\n",
        ends=frozenset({Outcome.OK, Outcome.TIMED_OUT}),
        slow=True,
    ),
    Hostile(
        "descriptors",
        "It opens ten thousand descriptors and keeps them.",
        "def attack():\n    pipes = [os.pipe() for _ in range(5000)]\n    return 'ten thousand descriptors'\n",
        sign=Sign.REPORT,
        # It may need one itself.
        ends=frozenset({Outcome.OK, Outcome.CRASHED}),
    ),
)
