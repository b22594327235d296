"""A page of results: sections that commands left in a folder, above a marker, and text by hand, which is kept, below it."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from figures import machine


class Page(NamedTuple):
    """What a benchmark writes.

    Attributes:
        path: The page.
        script: Name of the benchmark's file.
        heading: What stands above all sections.
        titles: Of sections, by name, in the order of the page.
    """

    path: Path
    script: str
    heading: str
    titles: Mapping[str, str]

    @property
    def marker(self) -> str:
        """The line between what is written and what is kept."""
        return f"<!-- Written by {self.script} up to here. What stands below is written by hand and kept. -->"

    def section(self, name: str, lines: Iterable[str], folder: Path, software: str = "") -> str:
        """Puts title, command and machine above a table, writes it to the folder, and returns it.

        Args:
            name: One of the titles'.
            lines: Of the table.
            folder: That was given on the command line, where it is shown as DIR.
            software: What else decides the figures, such as ``", torch 2.13.0"``.
        """
        given = ["DIR" if argument == str(folder) else argument for argument in sys.argv[1:]]
        command = shlex.join(["python", f"benchmarks/{self.script}", *given])
        made = f"`{command}` on {time.strftime('%Y-%m-%d')}: {machine()}{software}."
        text = "\n".join([f"## {self.titles[name]}\n", made, "", *lines, ""])
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
        return text

    def write(self, folder: Path) -> None:
        """Writes the page of the sections that are in the folder; what stands below the marker is kept."""
        before = self.path.read_text(encoding="utf-8") if self.path.exists() else f"{self.marker}\n"
        _, marker, below = before.partition(self.marker)
        if not marker:
            raise SystemExit(f"error: {self.path} has no marker line, expected {self.marker!r}; put it above what is to be kept")
        parts = [file.read_text(encoding="utf-8") for name in self.titles if (file := folder / f"{name}.md").exists()]
        if not parts:
            raise SystemExit(f"error: {folder} holds no tables; run one of {', '.join(self.titles)} with the same --output first")
        self.path.write_text("\n".join([self.heading, *parts, self.marker]) + below, encoding="utf-8")
        print(f"{len(parts)} tables are in {self.path}")
