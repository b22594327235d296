"""Programs that ask the kernel for what they must not have, by the numbers of its calls."""

from __future__ import annotations

from evolve.program import Isolation
from evolve.testing.hostile.record import EVERY_LEVEL, KERNEL_LEVELS, STRONG_ONLY, Hostile, Sign


def _asks(name: str, tries: str, expression: str, least: Isolation = Isolation.PROCESS) -> Hostile:
    """Makes a program that is stopped by a filter on system calls; the expression fails when the call is refused."""
    source = f"def attack():\n    {expression}\n    return 'granted'\n"
    return Hostile(name, tries, source, claims=STRONG_ONLY, sign=Sign.REPORT, least=least)


KERNEL = (
    _asks(
        "user namespace",
        "It makes a user namespace, in which it would have every capability.",
        "system_call('unshare', 0x10000000)",
    ),
    _asks("mount namespace", "It makes a mount namespace of its own.", "system_call('unshare', 0x00020000)"),
    _asks(
        "network namespace", "It makes a network namespace, to have interfaces of its own.", "system_call('unshare', 0x40000000)"
    ),
    _asks(
        "others' namespaces",
        "It enters the namespaces of another process.",
        "system_call('setns', os.open('/proc/@PID@/ns/uts', 0), 0)",
    ),
    _asks(
        "keyring",
        "It stores a key that outlives it in the kernel's keyring.",
        "system_call('add_key', b'user', b'@TOKEN@', b'x', 1, -1)",
    ),
    _asks("io_uring", "It sets up a ring through which calls pass by the filter.", "system_call('io_uring_setup', 4, bytes(240))"),
    _asks(
        "BPF",
        "It makes a map for programs in the kernel.",
        "system_call('bpf', 0, bytes([2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]) + bytes(104), 120)",
    ),
    _asks(
        "performance counters",
        "It counts events of the machine's processors.",
        "system_call('perf_event_open', (1).to_bytes(4, 'little') + (64).to_bytes(4, 'little') + bytes(56), 0, -1, -1, 0)",
    ),
    _asks(
        "page faults in user space",
        "It handles page faults itself, which makes races in the kernel winnable.",
        "system_call('userfaultfd', 1)",
    ),
    _asks(
        "kernel module",
        "It loads a module into the kernel (one that is empty, so that nothing happens where it may).",
        "try:\n        system_call('init_module', b'', 0, b'')\n"
        "    except OSError as error:\n        if error.errno == 1:\n            raise",
    ),
    _asks(
        "clock",
        "It sets the machine's clock, to the time that it has.",
        "import time\n    time.clock_settime(0, time.clock_gettime(0))",
        Isolation.STRONG,
    ),
    Hostile(
        "mount",
        "It mounts a file system over its own folder, where the machine's mounts are or in a namespace of its own.",
        "def attack():\n    called(libc.mount(b'x', os.getcwd().encode(), b'tmpfs', 0, 0))\n    return 'mounted'\n",
        claims=KERNEL_LEVELS,
        sign=Sign.REPORT,
        least=Isolation.LANDLOCK,
    ),
    Hostile(
        "changed root",
        "It changes its root folder and climbs out of it.",
        "def attack():\n"
        "    os.mkdir('root')\n    os.chroot('root')\n    for _ in range(64):\n        os.chdir('..')\n"
        "    os.chroot('.')\n    return open('@FILE@').read()\n",
        claims=KERNEL_LEVELS,
        sign=Sign.LEAK,
    ),
    Hostile(
        "becomes root",
        "It becomes the first user, and tells whether that gives it a capability.",
        "def attack():\n"
        "    os.setuid(0)\n"
        "    lines = dict(line.split(':', 1) for line in open('/proc/self/status').read().splitlines())\n"
        "    return int(lines['CapEff'], 16) and 'capabilities'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    Hostile(
        "foreign numbers",
        "It makes calls by the numbers of another system-call table, which a filter may forget.",
        "def attack():\n"
        "    if os.uname().machine == 'x86_64':\n"
        "        called(libc.syscall(0x40000000 + 41, 2, 1, 0))\n        return 'a socket'\n",
        sign=Sign.REPORT,
        claims=STRONG_ONLY,
    ),
    Hostile(
        "kernel's settings",
        "It writes one of the kernel's settings, with the value that it has.",
        "def attack():\n"
        "    with open('/proc/sys/kernel/core_pattern', 'r+') as file:\n"
        "        value = file.read()\n        file.seek(0)\n        file.write(value)\n    return 'written'\n",
        claims=KERNEL_LEVELS,
        sign=Sign.REPORT,
    ),
    Hostile(
        "survives the shortage",
        "It asks the kernel to end others before itself when memory is short.",
        "def attack():\n    open('/proc/self/oom_score_adj', 'w').write('-1000')\n    return 'written'\n",
        claims=KERNEL_LEVELS,
        sign=Sign.REPORT,
    ),
    Hostile(
        "dumps core",
        "It raises its limit on core files and crashes, so that its memory lands in a file.",
        "import resource\n"
        "if os.fork() == 0:\n"
        "    try:\n        resource.setrlimit(resource.RLIMIT_CORE, (2**20, 2**20))\n"
        "    except (OSError, ValueError):\n        pass\n"
        "    os.abort()\nos.wait()\n",
        claims=EVERY_LEVEL,
    ),
)
