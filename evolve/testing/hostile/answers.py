"""Programs that answer with something other than honest data, or bend what judges it."""

from __future__ import annotations

from evolve.program import Outcome
from evolve.testing.hostile.record import PATIENT_S, REFUSED_OR_HONEST, Hostile


def _lies(name: str, tries: str, source: str) -> Hostile:
    """Makes a program whose answer is a lie: it may be refused, or scored for what it holds, but not gain."""
    return Hostile(name, tries, source, ends=REFUSED_OR_HONEST)


def _each(name: str, tries: str, expression: str, before: str = "") -> Hostile:
    """Makes a program that replaces every number and array of its answer, at any depth, by an expression of ``x``."""
    source = (
        f"import math\nimport numpy as np\n{before}"
        f"def change(x):\n    return {expression}\n"
        "def lie(answer):\n"
        "    if isinstance(answer, (list, tuple)):\n        return type(answer)(map(lie, answer))\n"
        "    if isinstance(answer, dict):\n        return {key: lie(value) for key, value in answer.items()}\n"
        "    return answer if isinstance(answer, (str, bytes)) else change(answer)\n"
    )
    return _lies(name, tries, source)


_LIAR = "".join(f"    def __{name}__(self, *_): return True\n" for name in ("eq", "ne", "lt", "le", "gt", "ge", "bool", "contains"))
_FRAME = "import struct\ntext = b'\\x92\\xa2ok\\xcb' + struct.pack('>d', 1e9)\nforged = struct.pack('>Q', len(text)) + text\n"

ANSWERS = (
    _lies("a score", "It answers with a score in place of what it was asked for.", "def lie(answer):\n    return 1e9\n"),
    _lies(
        "a result like the evaluator's",
        "It answers with a record that names an objective and an outcome.",
        "def lie(answer):\n    return {'outcome': 'ok', 'objective': 1e9, 'score': 1e9, 'combined_score': 1e9, 'valid': True}\n",
    ),
    _lies("nothing", "It answers with None.", "def lie(answer):\n    return None\n"),
    _lies("empty", "It answers with an empty list.", "def lie(answer):\n    return []\n"),
    _each("NaN", "It answers with NaN, which passes every comparison that is not meant for it.", "x * float('nan')"),
    _each("infinity", "It answers with infinity.", "x * float('inf')"),
    _each("huge numbers", "It answers with numbers as large as doubles are.", "x * 0 + 1.7e308"),
    _each("huge integers", "It answers with integers that no double holds.", "10**1200"),
    _each("complex numbers", "It answers with complex numbers, of which only the real part is looked at.", "x + 1e9j"),
    _each("texts", "It answers with texts that read as numbers.", "'1e9'"),
    _each("booleans", "It answers with truth where numbers belong.", "True"),
    _each("dates", "It answers with dates, which arrays turn into numbers.", "np.array(x, 'M8[s]') if np.ndim(x) else x"),
    _each("object arrays", "It answers with arrays of objects.", "np.array([[object()]], dtype=object)"),
    _each("structured arrays", "It answers with arrays of records.", "np.zeros(3, dtype=[('a', 'f8'), ('b', 'O')])"),
    _each(
        "strided arrays",
        "It answers with an array of a billion items that all lie in one place.",
        "np.broadcast_to(np.float64(1), (2**30,))",
    ),
    _each(
        "lying numbers",
        "It answers with numbers that say yes to every comparison.",
        "Liar(0)",
        f"class Liar(float):\n{_LIAR}",
    ),
    _each(
        "lying integers and texts",
        "It answers with integers of a class of its own, which convert to something else each time.",
        "Liar(3)",
        "class Liar(int):\n    def __float__(self): return 1e9\n"
        "    def __index__(self): return 2**62\n    def __int__(self): return 10**9\n",
    ),
    _each(
        "lying arrays",
        "It answers with arrays of a class of its own whose shape, sums and comparisons are made up.",
        "np.asarray(x).view(Liar)",
        "class Liar(np.ndarray):\n    def sum(self, *_, **__): return 1e9\n    def __array__(self, *_, **__): return np.ones(3)\n"
        "    def __array_ufunc__(self, *_, **__): return np.True_\n    def __reduce__(self): return eval, ('1/0',)\n",
    ),
    _lies(
        "lying containers",
        "It answers with lists and dicts of classes of its own, whose length and items change from look to look.",
        "class Liar(list):\n    def __len__(self): return 1\n    def __iter__(self): return iter([1e9] * 26)\n"
        "class Book(dict):\n    def items(self): return [('x', 1e9)]\n    def __len__(self): return 10**9\n"
        "def lie(answer):\n    return Liar([Book(x=answer)])\n",
    ),
    _lies(
        "pickle",
        "It answers with a pickle that runs a command when it is read, as an object and as bytes.",
        "import pickle\n"
        "class Bomb:\n    def __reduce__(self): return os.system, ('touch @FOLDER@/pickled',)\n"
        "def lie(answer):\n    return [pickle.dumps(Bomb()), Bomb()]\n",
    ),
    _lies(
        "pickled array",
        "It answers with the bytes of a numpy file that holds pickled objects.",
        "import io, numpy as np\n"
        "class Bomb:\n    def __reduce__(self): return os.system, ('touch @FOLDER@/pickled',)\n"
        "def lie(answer):\n"
        "    file = io.BytesIO()\n    np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)\n"
        "    return file.getvalue()\n",
    ),
    _lies(
        "deep answer",
        "It answers with lists nested a hundred thousand deep.",
        "def lie(answer):\n    for _ in range(100_000):\n        answer = [answer]\n    return answer\n",
    ),
    _lies(
        "circular answer",
        "It answers with a list that holds itself.",
        "def lie(answer):\n    x = []\n    x.append(x)\n    return x\n",
    ),
    Hostile(
        "gigantic answer",
        "It answers with 100 MB.",
        "def lie(answer):\n    return bytes(100 * 2**20)\n",
        ends=REFUSED_OR_HONEST,
        timeout_s=PATIENT_S,
    ),
    _lies(
        "announced answer",
        "It announces 2^63 bytes on its channel and sends none of them.",
        "os.write(3, (2**63).to_bytes(8, 'big'))\n",
    ),
    _lies(
        "promised lists",
        "It sends a few bytes that promise thousands of nested lists of a million items each.",
        "text = b'\\xdd\\x00\\x0f\\xff\\xff' * 2000\nos.write(3, len(text).to_bytes(8, 'big') + text)\n",
    ),
    Hostile(
        "half an answer",
        "It sends half an answer and waits.",
        "import time\nos.write(3, (1000).to_bytes(8, 'big') + b'x' * 500)\ntime.sleep(3600)\n",
        ends=frozenset({Outcome.TIMED_OUT}),
        slow=True,
    ),
    _lies(
        "forged frames",
        "It writes an answer in the platform's own format to every descriptor, a score in it.",
        f"{_FRAME}for descriptor in range(64):\n    try:\n"
        f"        os.write(descriptor, forged)\n    except OSError:\n        pass\n",
    ),
    _lies(
        "many forged frames",
        "It sends a thousand answers ahead, for calls that have not been made.",
        f"{_FRAME}import socket\nchannel = socket.socket(fileno=os.dup(3))\nchannel.setblocking(False)\n"
        "try:\n    for _ in range(1000):\n        channel.send(forged)\nexcept OSError:\n    pass\n",
    ),
    _lies(
        "forged lines",
        "It writes JSON with a score to every descriptor and to files of usual names, and exits with status 0.",
        'line = b\'\\n{"combined_score": 1e9, "score": 1e9, "valid": true}\\n\'\n'
        "for descriptor in range(64):\n    try:\n        os.write(descriptor, line)\n    except OSError:\n        pass\n"
        "for name in ('results.json', 'metrics.json', 'correct.json', 'score.txt'):\n"
        "    open(name, 'wb').write(line)\nos._exit(0)\n",
    ),
    _lies(
        "closed descriptors",
        "It closes every descriptor that it has.",
        "os.closerange(0, 1024)\n",
    ),
    _lies(
        "replaced descriptors",
        "It puts sockets of its own in the place of every descriptor.",
        "import socket\npair = socket.socketpair()\nfor descriptor in range(8):\n    os.dup2(pair[0].fileno(), descriptor)\n",
    ),
)
