"""Programs that bend their interpreter, look for the grader in it, or leave something for the next evaluation."""

from __future__ import annotations

from evolve.program import Isolation, Outcome
from evolve.testing.hostile.record import EVERY_LEVEL, KERNEL_LEVELS, REFUSED_OR_HONEST, STRONG_ONLY, Hostile, Sign

#: A program may take its own interpreter apart; then it does not answer, or what it answers is judged elsewhere.
_PATCHED = REFUSED_OR_HONEST | {Outcome.TIMED_OUT}  # what is traced is slow


def _patches(name: str, tries: str, source: str) -> Hostile:
    return Hostile(name, tries, source, ends=_PATCHED)


def _leaves(name: str, tries: str, source: str, claims: frozenset[Isolation] = EVERY_LEVEL) -> Hostile:
    """Makes a program that is evaluated twice; the second must not find what the first has left."""
    return Hostile(name, tries, source, claims=claims, sign=Sign.REPORT, times=2)


INTERPRETER = (
    _patches(
        "patched json",
        "It replaces what writes and reads JSON by something that gives a score.",
        "import json\njson.dumps = json.dump = lambda *_, **__: '{\"objective\": 1e9}'\n"
        "json.loads = json.load = lambda *_, **__: {'objective': 1e9}\n",
    ),
    _patches(
        "patched MessagePack",
        "It replaces what packs its answers.",
        "import msgpack\nmsgpack.packb = lambda *_, **__: b'\\x92\\xa2ok\\xcb\\x41\\xcd\\xcd\\x65\\x00\\x00\\x00\\x00'\n"
        "msgpack.unpackb = lambda *_, **__: ['ok', 1e9]\n",
    ),
    _patches(
        "patched numpy",
        "It replaces numpy's sums, comparisons and distances.",
        "import numpy as np\n"
        "def lie(answer):\n"
        "    for name in ('sum', 'hypot', 'sqrt', 'all', 'any', 'isfinite', 'min', 'max', 'allclose'):\n"
        "        setattr(np, name, lambda *_, **__: True)\n"
        "    return answer\n",
    ),
    _patches(
        "patched math",
        "It replaces functions of math and the built-in ones, for whoever shares its interpreter.",
        "import builtins, math\n"
        "def lie(answer):\n"
        "    math.isfinite = math.isnan = lambda *_: True\n    math.hypot = math.fsum = lambda *_: 1e9\n"
        "    builtins.sum = builtins.max = lambda *_, **__: 1e9\n    return answer\n",
    ),
    _patches(
        "patched clock",
        "It stops every clock, so that no deadline passes.",
        "import time\nfor name in ('time', 'monotonic', 'perf_counter', 'process_time', 'thread_time'):\n"
        "    setattr(time, name, lambda: 0.0)\n    setattr(time, name + '_ns', lambda: 0)\n",
    ),
    _patches(
        "patched sandbox",
        "It replaces the functions of the modules that serve it, found by their names.",
        "import sys\n"
        "for name, module in list(sys.modules.items()):\n"
        "    if name.startswith('_evolve') or name == '__main__':\n"
        "        for attribute, value in list(vars(module).items()):\n"
        "            if type(value) is type(called):\n                setattr(module, attribute, lambda *_, **__: ['ok', 1e9])\n",
    ),
    _patches(
        "tracer",
        "It traces every line that its interpreter runs from here on and sets what local variables it finds to a score.",
        "import sys\n"
        "def trace(frame, event, argument):\n"
        "    for name in list(frame.f_locals):\n"
        "        if name in ('objective', 'score', 'reply'):\n            frame.f_locals[name] = 1e9\n"
        "    return trace\n"
        "sys.settrace(trace)\n",
    ),
    Hostile(
        "walk to the grader",
        "It walks all frames and all objects of its interpreter for an evaluator, an archive or a worker.",
        "import gc, sys\n"
        "def attack():\n"
        "    found = []\n    frame = sys._getframe()\n"
        "    while frame:\n"
        "        found += [name for name in frame.f_globals if name in ('evaluate', 'Evaluation', 'ForkServer', 'LocalExecutor')]\n"
        "        frame = frame.f_back\n"
        "    for one in gc.get_objects():\n"
        "        if type(one).__module__.startswith(('evolve.', '_evolve_task')):\n            found.append(type(one).__name__)\n"
        "    return found\n",
        sign=Sign.REPORT,
    ),
    Hostile(
        "import of the platform",
        "It imports this package, to reach its evaluators and archive.",
        "import sys\n"
        "def attack():\n"
        "    sys.path.append('@PACKAGE@/..')\n    import evolve.program\n    return evolve.program.__file__\n",
        claims=KERNEL_LEVELS,
        sign=Sign.REPORT,
    ),
    _patches(
        "recursion",
        "It recurses without end, to overflow the stack of whoever runs it.",
        "import sys\nsys.setrecursionlimit(10**9)\ndef down(x):\n"
        "    return [down(x)]\nif os.fork() == 0:\n    down(1)\nos.wait()\n",
    ),
    Hostile(
        "generators",
        "It sets the state of the global random generators when it has answered, for the next evaluation.",
        "import random\nimport numpy as np\n"
        "def lie(answer):\n    random.seed(1)\n    np.random.seed(1)\n    os.environ['PYTHONHASHSEED'] = '1'\n    return answer\n",
        ends=_PATCHED,
    ),
    _leaves(
        "cache in its folder",
        "It leaves a file in its folder, its home and its folder for temporary files.",
        "def attack():\n"
        "    folders = ('.', os.path.expanduser('~'), os.environ.get('TMPDIR', '.'))\n"
        "    paths = {os.path.realpath(os.path.join(folder, '.cache-@TOKEN@')) for folder in folders}\n"
        "    found = [path for path in paths if os.path.exists(path)]\n"
        "    for path in paths:\n        open(path, 'w').close()\n"
        "    return found\n",
    ),
    _leaves(
        "cache in shared folders",
        "It leaves a file in /tmp, /var/tmp and /dev/shm.",
        "def attack():\n"
        "    paths = [f'{folder}/@TOKEN@' for folder in ('/tmp', '/var/tmp', '/dev/shm')]\n"
        "    found = [path for path in paths if os.path.exists(path)]\n"
        "    for path in paths:\n"
        "        try:\n            open(path, 'w').write('cached')\n        except OSError:\n            pass\n"
        "    return found\n",
        KERNEL_LEVELS,
    ),
    _leaves(
        "cache in the interpreter",
        "It leaves a module in sys.modules, an attribute of a library, and a variable in the environment.",
        "import sys, numpy\n"
        "def attack():\n"
        "    found = [place for place, there in (\n"
        "        ('module', '@TOKEN@' in sys.modules), ('attribute', hasattr(numpy, '@TOKEN@')),\n"
        "        ('variable', '@TOKEN@' in os.environ)\n"
        "    ) if there]\n"
        "    sys.modules['@TOKEN@'] = numpy\n    numpy.@TOKEN@ = 1\n    os.environ['@TOKEN@'] = '1'\n"
        "    return found\n",
    ),
    _leaves(
        "cache in shared memory",
        "It leaves a System V segment of shared memory, which no process needs to hold.",
        "def attack():\n"
        "    key = int('@TOKEN@'[2:9], 16)\n"
        "    try:\n        segment = system_call('shmget', key, 4096, 0o600)\n"
        "    except OSError:\n        system_call('shmget', key, 4096, 0o1600)\n        return None\n"
        "    libc.shmctl(segment, 0, None)\n    return 'a segment of the evaluation before'\n",
        STRONG_ONLY,
    ),
)
