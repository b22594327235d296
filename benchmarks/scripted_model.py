"""A model that answers at once, or after so many seconds, in a process of its own: `serving` starts it.

Its answers are edits of one line, and whole programs where one is asked for, with a paragraph of reasons before: what models
write about programs of `synthetic`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from evolve.testing.model_server import Answer, Asked, ModelServer

_SOURCE = re.compile(r"^# The program to change.*?^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_LINE = "    total = "
_WORDS = ("the sum", "is dominated", "by late terms", "so", "a smaller weight", "lets", "early ones", "count", "for more")


@contextmanager
def serving(after_s: float = 0.0) -> Iterator[str]:
    """Starts the model and yields its URL; leaving the block ends it."""
    command = [sys.executable, __file__, str(after_s)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        # The end of its input ends it: `Popen` closes that on leaving.


def reply(asked: Asked) -> str:
    """Answers with the program to change, one line changed."""
    found = _SOURCE.search(asked.messages[1].text)
    assert found is not None, asked.messages[1].text
    lines = found[1].splitlines()
    # A line that occurs twice cannot be searched for.
    places = [place for place, line in enumerate(lines) if line.startswith(_LINE) and lines.count(line) == 1]
    place = places[asked.number * 7 % len(places)]
    changed = f"    total = total + {asked.number}.5 * values[{asked.number % 70} % len(values)]"
    return f"{_reasons(asked.number)}\n\n{_edit(asked, lines, place, changed)}\n"


def _edit(asked: Asked, lines: list[str], place: int, changed: str) -> str:
    if "<<<<<<< SEARCH" in asked.messages[0].text:
        return f"<<<<<<< SEARCH\n{lines[place]}\n=======\n{changed}\n>>>>>>> REPLACE"
    return "\n".join(["```python", *lines[:place], changed, *lines[place + 1 :], "```"])


def _reasons(number: int) -> str:
    """Makes 600 characters, different ones for each number."""
    return " ".join(_WORDS[number * step % 97 % len(_WORDS)] for step in range(1, 121))


def main() -> None:
    """Serves until the input ends."""
    after_s = float(sys.argv[1])
    with ModelServer(lambda asked: Answer(reply(asked), before=after_s or None)) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
