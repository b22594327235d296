"""Makes the frozen pack from the library of the CPython that runs it: ``python -m evolve.evaluators.moe.corpus.freeze``.

Run once, by whoever changes the corpus; everything else reads the file that it wrote. The list of modules is part of
``PROVENANCE.md``: only modules under CPython's own licence without a notice of anybody else are taken, and what began or is kept
outside CPython is left out whole (asyncio, importlib.metadata, json, unittest, …), whatever its files say.
"""

from __future__ import annotations

import ast
import platform
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from evolve.errors import EvolveError
from evolve.evaluators.moe.corpus.pack import END, PACK, PackContents, SplitText, write_pack

#: Held out with code and docstrings. None is the twin of a module that is trained on, as `wave` is of `sunau`.
HELD_OUT = """calendar cmd configparser contextlib filecmp fileinput glob graphlib hmac queue shelve timeit""".split()

#: Trained on with code and docstrings.
CODE = """
    _pyio _strptime _threading_local aifc base64 bdb bisect bz2 cgi collections/__init__ copy csv dataclasses datetime difflib dis
    email/_header_value_parser email/charset email/feedparser email/generator email/header email/policy enum fnmatch gzip
    html/parser http/cookiejar http/server imaplib lzma mimetypes modulefinder pathlib pickle pkgutil plistlib posixpath pprint random
    selectors shutil smtplib string symtable tempfile threading tokenize traceback types weakref zoneinfo/_zoneinfo
""".split()

#: Trained on with docstrings only: their code would make the pack larger than its use is worth.
PROSE = """
    _py_abc cProfile cgitb chunk codeop compileall copyreg curses/textpad dbm/__init__ dbm/dumb email/_encoded_words email/_parseaddr
    email/_policybase email/base64mime email/errors email/headerregistry email/parser email/quoprimime email/utils genericpath
    getpass http/client imp io linecache locale mailbox mailcap nntplib ntpath operator os pdb pickletools pipes poplib py_compile
    pyclbr pydoc rlcompleter sched secrets smtpd sndhdr ssl stat sunau sysconfig telnetlib tkinter/ttk tracemalloc typing
    urllib/error urllib/request uuid warnings wave webbrowser zipapp zipimport
""".split()

#: Words of a notice. A line with one of them is only taken if it is the foundation's own, or if it is listed below.
_NOTICE = re.compile(r"copyright|licen[cs]e|all rights reserved|spdx|public domain|permission to use", re.IGNORECASE)
_OWN_NOTICE = re.compile(r"copyright \(c\) [0-9, -]+ python software foundation\.?\s*$", re.IGNORECASE)

#: Shorter docstrings are mostly the same few sentences.
_SHORTEST = 40


def freeze(library: Path) -> PackContents:
    """Reads the modules of a library.

    Args:
        library: Folder of the library, such as ``/usr/lib/python3.11``.

    Raises:
        EvolveError: If a module is missing, carries somebody's notice or has a byte that is not ASCII.
    """
    sources = {name: read_module(library, name) for name in sorted([*HELD_OUT, *CODE, *PROSE])}
    training = [name for name in sources if name not in HELD_OUT]
    known: set[str] = set()  # docstrings that are there already: none is held out that is trained on
    prose = SplitText(
        _documents(_new(known, (docstring for name in training for docstring in docstrings(sources[name])))),
        _documents(_new(known, (docstring for name in HELD_OUT for docstring in docstrings(sources[name])))),
    )
    code = SplitText(
        _documents(without_docstrings(sources[name]) for name in CODE),
        _documents(without_docstrings(sources[name]) for name in HELD_OUT),
    )
    return PackContents(
        platform.python_version(), {"code": CODE, "prose": PROSE, "held_out": HELD_OUT}, {"code": code, "prose": prose}
    )


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
    lines = source.splitlines(keepends=True)
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


def _new(known: set[str], texts: Iterable[str]) -> Iterator[str]:
    """Passes on what is not known yet."""
    for text in texts:
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
    contents = freeze(Path(sysconfig.get_path("stdlib")))
    digest = write_pack(PACK, contents)
    sizes = {domain: (len(text.training), len(text.held_out)) for domain, text in contents.texts.items()}
    sys.stdout.write(f"{PACK.stat().st_size} bytes, training and held out {sizes}\nPACK_SHA256 = {digest!r}\n")


if __name__ == "__main__":
    main()
