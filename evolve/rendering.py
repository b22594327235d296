"""Writes a program down as one text with every file whole, as prompts and people read it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from evolve.program import Files

#: What the language of a fenced block is called, where the file's ending is not its name.
_LANGUAGES = {
    **{"py": "python", "js": "javascript", "mjs": "javascript", "cjs": "javascript", "ts": "typescript", "rs": "rust"},
    **{"cc": "cpp", "cxx": "cpp", "hpp": "cpp", "hh": "cpp", "h": "cpp", "cu": "cuda", "jl": "julia", "hs": "haskell"},
    **{"rb": "ruby", "sh": "bash", "md": "markdown", "txt": "text", "f90": "fortran", "ml": "ocaml", "yml": "yaml"},
}
_FENCE = re.compile(r"^[ \t]*(`{3,})", re.MULTILINE)


def render_files(files: Files) -> str:
    """Writes every file of a program in a fenced block; of several, their tree before and the path above each.

    Args:
        files: In the order in which they are to be shown.

    Returns:
        Markdown that ends with a newline. No file can end its own fence: it is longer than any that the file holds.
    """
    if len(files) == 1:
        [(path, text)] = files.items()
        return _block(path, text)
    blocks = [f"### {path}\n\n{_block(path, text)}" for path, text in files.items()]
    return "\n".join([f"```text\n{tree(files)}```\n", *blocks])


def tree(files: Files) -> str:
    """Draws the folders and files of a program, a line each, files with their number of lines."""
    lines: list[str] = []
    known: set[PurePosixPath] = set()
    for path in sorted(map(PurePosixPath, files), key=lambda path: path.parts):
        for folder in reversed(path.parents[:-1]):
            if folder not in known:
                known.add(folder)
                lines.append(f"{'  ' * (len(folder.parts) - 1)}{folder.name}/")
        count = len(files[str(path)].splitlines())
        lines.append(f"{'  ' * (len(path.parts) - 1)}{path.name}  ({count} line{'' if count == 1 else 's'})")
    return "".join(f"{line}\n" for line in lines)


def language(path: str) -> str:
    """Returns what the language of a file is called above its fenced block; its ending where no other name is known."""
    ending = PurePosixPath(path).suffix.removeprefix(".")
    return _LANGUAGES.get(ending, ending) or "text"


def _block(path: str, text: str) -> str:
    longest = max((len(found) for found in _FENCE.findall(text)), default=2)
    fence = "`" * max(3, longest + 1)
    ending = PurePosixPath(path).suffix.removeprefix(".")
    return f"{fence}{_LANGUAGES.get(ending, ending)}\n{text}{'' if text.endswith(chr(10)) or not text else chr(10)}{fence}\n"
