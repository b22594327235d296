"""Makes the frozen pack from the library of the CPython that runs it: ``python -m evolve.evaluators.moe.corpus.freeze``.

Run once, by whoever changes the corpus; everything else reads the file that it wrote. ``modules.toml`` lists the modules: only
such as carry no notice but the foundation's, and none of what began or is kept outside CPython (asyncio, importlib.metadata,
json, unittest, …), whatever its files say.
"""

from __future__ import annotations

import ast
import platform
import re
import sys
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from evolve.errors import EvolveError
from evolve.evaluators.moe.corpus.pack import END, PACK, PackContents, SplitText, write_pack

#: Which modules, by what is taken of them: "held_out", "code" (and docstrings), "prose" (docstrings only).
MODULES = Path(__file__).with_name("modules.toml")

#: Words of a notice. A module with one of them is only taken if the line is the foundation's own.
_NOTICE = re.compile(r"copyright|licen[cs]e|all rights reserved|spdx|public domain|permission to use", re.IGNORECASE)
_OWN_NOTICE = re.compile(r"copyright \(c\) [0-9, -]+ python software foundation\.?\s*$", re.IGNORECASE)

#: Shorter docstrings are mostly the same few sentences.
_SHORTEST = 40


def freeze(library: Path, modules: Mapping[str, Sequence[str]]) -> PackContents:
    """Reads the modules of a library.

    Args:
        library: Folder of the library, such as ``/usr/lib/python3.11``.
        modules: Paths below it without their suffix, by use: ``"held_out"`` and ``"code"`` give code and docstrings,
            ``"prose"`` gives docstrings.

    Raises:
        EvolveError: If a module is missing, carries somebody's notice or has a byte that is not ASCII.
    """
    sources = {name: read_module(library, name) for name in sorted(name for use in modules.values() for name in use)}
    training = [name for name in sources if name not in modules["held_out"]]
    known: set[str] = set()  # what is trained on comes first: none of it is held out
    prose = SplitText(
        *(_documents(_new_docstrings(known, map(sources.__getitem__, names))) for names in (training, modules["held_out"]))
    )
    code = SplitText(
        *(_documents(without_docstrings(sources[name]) for name in names) for names in (modules["code"], modules["held_out"]))
    )
    return PackContents(platform.python_version(), modules, {"code": code, "prose": prose})


def read_module(library: Path, name: str) -> str:
    """Reads one module's source.

    Args:
        library: Folder of the library.
        name: Path below it without its suffix.

    Raises:
        EvolveError: If the module is missing, carries somebody's notice or has a byte that is not ASCII.
    """
    path = library / f"{name}.py"
    try:
        source = path.read_bytes().decode("ascii")
    except OSError as error:
        raise EvolveError(f"cannot read {path}: {error.strerror}; run this with the CPython that PROVENANCE.md names") from error
    except UnicodeDecodeError as error:
        raise EvolveError(f"{path} has a byte that is not ASCII at {error.start}; leave the module out") from error
    for line in source.splitlines():
        if _NOTICE.search(line) and not _OWN_NOTICE.search(line):
            raise EvolveError(f"{path} carries a notice: {line.strip()!r}; leave the module out")
    return source


def docstrings(source: str) -> Iterator[str]:
    """Yields the docstrings of a module, its classes and its functions, without their indentation."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = (ast.get_docstring(node) or "").strip()
            if len(text) >= _SHORTEST:
                yield text


def without_docstrings(source: str) -> str:
    """Takes docstrings out, so that prose is one domain's; a body that was nothing else becomes ``pass``."""
    lines = [f"{line}\n" for line in source.split("\n")]  # not splitlines: a form feed ends no line of Python
    for node in ast.walk(ast.parse(source)):
        if (
            not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            or ast.get_docstring(node) is None
        ):
            continue
        statement = node.body[0]
        first, last = statement.lineno - 1, (statement.end_lineno or 0) - 1
        before, after = lines[first][: statement.col_offset], lines[last][statement.end_col_offset :]
        alone = not before.strip() and not after.strip()
        lines[first : last + 1] = [""] * (last - first + 1)  # as many as before: other nodes' line numbers still hold
        if len(node.body) == 1 or not alone:
            lines[first] = f"{before}pass{after}"
    return "".join(lines).strip() + "\n"


def _new_docstrings(known: set[str], sources: Iterable[str]) -> Iterator[str]:
    """Yields the docstrings that are not known yet, and adds them to what is."""
    for source in sources:
        for text in docstrings(source):
            if text not in known:
                known.add(text)
                yield text


def _documents(texts: Iterable[str]) -> bytes:
    encoded = [text.encode("ascii") for text in texts]
    if any(END in text for text in encoded):
        raise EvolveError("a document holds the byte that ends documents; leave its module out")
    return b"".join(text + END for text in encoded)


def main() -> None:
    """Writes the pack and says what its hash is."""
    contents = freeze(Path(sysconfig.get_path("stdlib")), tomllib.loads(MODULES.read_text()))
    digest = write_pack(PACK, contents)
    sizes = {domain: (len(text.training), len(text.held_out)) for domain, text in contents.texts.items()}
    sys.stdout.write(f"{PACK.stat().st_size} bytes, training and held out {sizes}\nPACK_SHA256 = {digest!r}\n")


if __name__ == "__main__":
    main()
