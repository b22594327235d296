"""Programs that read, change or leave behind files that are not theirs."""

from __future__ import annotations

from evolve.program import Isolation, Outcome
from evolve.testing.hostile.record import EVERY_LEVEL, KERNEL_LEVELS, STRONG_ONLY, Hostile, Sign


def _reads(name: str, tries: str, source: str, sign: Sign = Sign.LEAK) -> Hostile:
    """Makes a program that reads something: the kernel's levels stop it."""
    return Hostile(name, tries, source, claims=KERNEL_LEVELS, sign=sign)


def _changes(name: str, tries: str, source: str) -> Hostile:
    return Hostile(name, tries, source, claims=KERNEL_LEVELS, sign=Sign.CHANGE)


FILES = (
    Hostile(
        "own environment",
        "It looks for an API key in its own environment.",
        "def attack():\n"
        "    return os.environ.get('@VARIABLE@') or [\n"
        "        line for line in open('/proc/self/environ').read().split('\\0') if line.startswith('@VARIABLE@')\n    ]\n",
        sign=Sign.LEAK,
    ),
    _reads(
        "others' environment",
        "It looks for an API key in the environment of every process in /proc.",
        "def attack():\n"
        "    found = []\n"
        "    for pid in filter(str.isdigit, os.listdir('/proc')):\n"
        "        try:\n"
        "            lines = open(f'/proc/{pid}/environ', errors='replace').read().split('\\0')\n"
        "        except OSError:\n"
        "            continue\n"
        "        found += [line for line in lines if line.startswith('@VARIABLE@') and line not in found]\n"
        "    return found\n",
    ),
    _reads("archive", "It reads the archive of the run.", "def attack():\n    return open('@FILE@').read()\n"),
    _reads(
        "others' scratch folders",
        "It reads every file in folders for temporary files that are not its own.",
        "import glob\n"
        "def attack():\n"
        "    own = os.getcwd()\n"
        "    paths = [path for path in glob.glob('/tmp/evolve-*/*') if not path.startswith(own) and os.path.isfile(path)]\n"
        "    return [open(path, errors='replace').read()[:100] for path in paths]\n",
    ),
    _reads(
        "evaluator",
        "It reads the evaluator's source.",
        "def attack():\n    return open('@EVALUATOR@').read()[-300:]\n",
        Sign.REPORT,
    ),
    _reads(
        "task folder",
        "It lists the folder of the task, with its data and its attacks.",
        "def attack():\n    return os.listdir(os.path.dirname('@EVALUATOR@'))\n",
        Sign.REPORT,
    ),
    _reads(
        "platform's source",
        "It reads the source of this package.",
        "def attack():\n    return open('@PACKAGE@/program.py').read()[-300:]\n",
        Sign.REPORT,
    ),
    _reads(
        "home",
        "It lists the user's home folder.",
        "def attack():\n    return f\"{len(os.listdir('@HOME@'))} entries\"\n",
        Sign.REPORT,
    ),
    _reads(
        "passwords",
        "It reads the machine's list of users.",
        "def attack():\n    return f\"{len(open('/etc/passwd').readlines())} users\"\n",
        Sign.REPORT,
    ),
    _reads(
        "roots of others",
        "It reaches the archive through another process's root folder and working folder in /proc.",
        "def attack():\n    return open('/proc/@PID@/root@FILE@').read()\n",
    ),
    _reads(
        "symbolic link out",
        "It reads the archive through a symbolic link in its own folder.",
        "def attack():\n    os.symlink('@FILE@', 'link')\n    return open('link').read()\n",
    ),
    Hostile(
        "file handle",
        "It opens a file by its handle, which passes by every folder (open_by_handle_at).",
        "def attack():\n"
        "    handle = ctypes.create_string_buffer(136)\n"
        "    ctypes.c_uint.from_buffer(handle).value = 128\n"
        "    mount = ctypes.c_int()\n"
        "    called(libc.name_to_handle_at(-100, b'.', handle, ctypes.byref(mount), 0))\n"
        "    return system_call('open_by_handle_at', os.open('.', os.O_RDONLY), handle, 0) and 'opened'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    _changes("altered archive", "It appends to the archive of the run.", "def attack():\n    open('@FILE@', 'a').write('mine')\n"),
    _changes("deleted archive", "It deletes the archive of the run.", "def attack():\n    os.unlink('@FILE@')\n"),
    _changes("renamed archive", "It renames the archive of the run.", "def attack():\n    os.rename('@FILE@', '@FOLDER@/other')\n"),
    _changes(
        "file outside",
        "It writes a file beside the archive.",
        "def attack():\n    open('@FOLDER@/result.json', 'w').write('{\"score\": 1e9}')\n",
    ),
    _changes(
        "hard link",
        "It makes a hard link to the archive in its own folder, so as to write through it.",
        "def attack():\n    os.link('@FILE@', 'link')\n    open('link', 'a').write('mine')\n",
    ),
    Hostile(
        "traps for the sweeper",
        "It leaves a symbolic link to the archive's folder, and closed folders, for whoever empties its own.",
        "os.symlink('@FOLDER@', 'link')\nos.symlink('@FILE@', 'file')\n"
        "os.makedirs('closed/inner')\nopen('closed/inner/file', 'w').close()\n"
        "os.symlink('@FOLDER@', 'closed/inner/link')\nos.chmod('closed/inner', 0)\nos.chmod('closed', 0)\n",
        claims=EVERY_LEVEL,
        sign=Sign.CHANGE,
    ),
    Hostile(
        "odd files",
        "It leaves pipes, sockets, deep folders, sparse files and names that are no text.",
        "import socket\nos.mkfifo('pipe')\nsocket.socket(socket.AF_UNIX).bind('socket')\n"
        "os.makedirs('/'.join(['deep'] * 200))\nopen(b'\\xff\\xfe', 'w').close()\n"
        "with open('sparse', 'wb') as file:\n    file.truncate(2**27)\n",
        claims=EVERY_LEVEL,
    ),
    Hostile(
        "set-user-id file",
        "It makes a copy of the shell that would run as its owner, and has it say who it is.",
        "import shutil, subprocess\n"
        "def attack():\n"
        "    shutil.copy('/usr/bin/id', 'id')\n    os.chmod('id', 0o6755)\n"
        "    return subprocess.run(['./id', '-u'], capture_output=True, text=True).stdout.strip() == '0' and 'root'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
    ),
    Hostile(
        "device",
        "It makes a device file for the machine's memory and opens it.",
        "def attack():\n"
        "    os.mknod('device', 0o20666, os.makedev(1, 1))\n"
        "    return os.read(os.open('device', os.O_RDONLY), 1) and 'memory read'\n",
        claims=STRONG_ONLY,
        sign=Sign.REPORT,
        least=Isolation.LANDLOCK,
    ),
    Hostile(
        "own source",
        "It overwrites its own source, for the next evaluation.",
        "for name in os.listdir('.'):\n    if name.endswith('.py'):\n        open(name, 'w').write('def answer(*_): return 1e9')\n",
        claims=EVERY_LEVEL,
        # What it imports later is what it has written.
        ends=frozenset({Outcome.OK, Outcome.CRASHED, Outcome.INVALID}),
    ),
    _changes(
        "packages",
        "It adds a file to the installed packages, which the next interpreter would import.",
        "def attack():\n"
        "    path = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__import__('numpy').__file__))), '@TOKEN@.py')\n"
        "    open(path, 'w').close()\n    os.unlink(path)\n    return 'written and taken away again'\n",
    ),
)
